/** What SST's own types name of bun's; nothing here uses it. */
export type Shell = never;
