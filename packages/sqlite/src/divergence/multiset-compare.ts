/**
 * Rows that nothing names, because the columns have taken every name of the rowid: how many more or fewer of each there
 * are. SQLite sorts them, in its temporary files.
 */
import type { DatabaseSync } from 'node:sqlite';
import { rawCell } from './cell.ts';
import { type Encode, groupTerms, iterate, sizeOf, source } from './exact-sql.ts';
import { ROW_BYTES_MAX, type RowChange, type RowComparison } from './row-change.ts';
import { quoteName, type TableShape } from './table-shape.ts';

export class MultisetComparison implements RowComparison {
  readonly #connection: DatabaseSync;
  readonly #encode: Encode;
  readonly #columns: readonly string[];
  readonly #sql: string;

  constructor(connection: DatabaseSync, encode: Encode, kept: TableShape, fork: TableShape | undefined) {
    this.#connection = connection;
    this.#encode = encode;
    this.#columns = kept.columns;
    this.#sql = netRows(kept, fork);
  }

  *changes(isListed: () => boolean): Generator<RowChange> {
    for (const [net, sizeBytes, ...cells] of iterate(this.#connection, this.#sql)) {
      const change = Number(net) > 0 ? 'insert' : 'delete';
      for (let copies = Math.abs(Number(net)); copies > 0; copies--) {
        if (!isListed()) yield { change };
        else if (Number(sizeBytes) > ROW_BYTES_MAX) yield { change, rowid: null, tooLongBytes: Number(sizeBytes) };
        else {
          const row = Object.fromEntries(this.#columns.map((name, i) => [name, this.#encode(cells[i] ?? null)]));
          yield { change, rowid: null, ...(change === 'insert' ? { row } : { before: row }) };
        }
      }
    }
  }

  differs(): boolean {
    return this.#connection.prepare(`${this.#sql} LIMIT 1`).get() !== undefined;
  }
}

function netRows(kept: TableShape, fork: TableShape | undefined): string {
  const names = kept.columns.map((_, i) => `c${i}`);
  const rows = (shape: TableShape, weight: number): string =>
    `SELECT ${weight} AS n, ${kept.columns.map((column, i) => `t.${quoteName(column)} COLLATE BINARY AS c${i}`).join(', ')} FROM ${source(shape, 't')}`;
  const both = fork === undefined ? rows(kept, 1) : `${rows(kept, 1)} UNION ALL ${rows(fork, -1)}`;
  const grouped = `SELECT sum(n) AS net, ${sizeOf(names)} AS size, ${names.join(', ')} FROM (${both}) GROUP BY ${names.flatMap(groupTerms).join(', ')} HAVING sum(n) <> 0`;
  const cells = names.map((name) => `CASE WHEN size <= ${ROW_BYTES_MAX} THEN ${rawCell(name)} END`);
  return `SELECT net, size, ${cells.join(', ')} FROM (${grouped}) ORDER BY net > 0`;
}
