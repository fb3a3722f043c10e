import { DatabaseSync } from "node:sqlite";

/**
 * fauxqs 2.4.1 writes NULL as the receive count of a message that is given back (visibility timeout 0). The column
 * refuses that: the request fails and the message is gone until the next start. The count stays as it was instead. To be
 * called before fauxqs starts.
 */
export function mendDatabase(): void {
  const { prepare } = DatabaseSync.prototype;
  DatabaseSync.prototype.prepare = function (sql, ...rest) {
    const count = "approximate_receive_count";
    return prepare.call(this, sql.replace(`${count} = ?,`, `${count} = COALESCE(?, ${count}),`), ...rest);
  };
}
