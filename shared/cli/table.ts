/** Rows as text in columns, under a heading; numbers to the right. */
export function table(heading: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const lines = [heading, ...rows];
  const widths = heading.map((_, column) => Math.max(...lines.map((line) => String(line[column]).length)));
  const cell = (value: string | number, column: number): string =>
    typeof value === "number" ? String(value).padStart(widths[column]!) : value.padEnd(widths[column]!);
  return lines.map((line) => line.map(cell).join("  ").trimEnd()).join("\n");
}
