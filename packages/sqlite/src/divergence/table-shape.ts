/**
 * What a database holds, as far as a comparison of its rows needs it: which tables there are and of what kind, their
 * columns, and by what a row of each is named. Invariant: the name of a row is exact, so a name for the rowid is never one that a column has
 * taken, and where none is left there is no name.
 */
import type { DatabaseSync } from 'node:sqlite';

export type Schema = 'main' | 'fork';

/** `shadow`: where a virtual table keeps its content. `internal`: SQLite's own (counters, statistics). */
export type TableKind = 'table' | 'virtual' | 'shadow' | 'internal';

export interface TableShape {
  readonly name: string;
  readonly schema: Schema;
  readonly kind: TableKind;
  readonly sql: string;
  /** What is stored of a row; generated columns follow from these. */
  readonly columns: readonly string[];
  /** The declared primary key, with its collations where the table has no rowid. */
  readonly key: readonly KeyColumn[];
  /** By what the rowid is asked for; undefined for a table without one, or whose columns have taken all of its names. */
  readonly rowid: string | undefined;
  /** A column of the key is the rowid. */
  readonly isRowidKey: boolean;
  readonly hasRowid: boolean;
}

export interface KeyColumn {
  readonly name: string;
  readonly type: string;
  readonly collation: string | undefined;
}

/** An index, a trigger or a view. */
export interface SchemaObject {
  readonly type: string;
  readonly name: string;
  readonly table: string;
  readonly sql: string;
}

export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** All tables of the schema in the order of their making, without the schema's own. */
export function readTables(connection: DatabaseSync, schema: Schema): TableShape[] {
  const kinds = new Map(
    connection
      .prepare('SELECT name, type, wr FROM pragma_table_list WHERE schema = ?')
      .all(schema)
      .map((row) => [String(row.name), row]),
  );
  return connection
    .prepare(`SELECT name, sql FROM ${schema}.sqlite_schema WHERE type = 'table' ORDER BY rowid`)
    .all()
    .map((row) => {
      const listed = kinds.get(String(row.name));
      const kind = kindOf(String(row.name), String(listed?.type ?? 'table'));
      return readShape(connection, { name: String(row.name), schema, kind, sql: String(row.sql) }, listed?.wr !== 1);
    });
}

/** Indexes, triggers and views that somebody has made. */
export function readObjects(connection: DatabaseSync, schema: Schema): SchemaObject[] {
  return connection
    .prepare(
      `SELECT type, name, tbl_name, sql FROM ${schema}.sqlite_schema WHERE type <> 'table' AND sql IS NOT NULL ORDER BY rowid`,
    )
    .all()
    .map(({ type, name, tbl_name, sql }) => ({
      type: String(type),
      name: String(name),
      table: String(tbl_name),
      sql: String(sql),
    }));
}

function kindOf(name: string, listed: string): TableKind {
  if (/^sqlite_/i.test(name)) return 'internal';
  return listed === 'virtual' || listed === 'shadow' ? listed : 'table';
}

function readShape(
  connection: DatabaseSync,
  table: Pick<TableShape, 'name' | 'schema' | 'kind' | 'sql'>,
  hasRowid: boolean,
): TableShape {
  const { name, schema } = table;
  if (table.kind === 'virtual')
    return { ...table, columns: [], key: [], rowid: undefined, isRowidKey: false, hasRowid: false };
  const all = connection.prepare('SELECT name, type, pk, hidden FROM pragma_table_xinfo(?, ?)').all(name, schema);
  const primary = connection
    .prepare("SELECT name FROM pragma_index_list(?, ?) WHERE origin = 'pk'")
    .get(name, schema)?.name;
  const collations = new Map(
    primary === undefined
      ? []
      : connection
          .prepare('SELECT name, coll FROM pragma_index_xinfo(?, ?)')
          .all(primary, schema)
          .map((row) => [row.name, String(row.coll)]),
  );
  const key = all
    .filter(({ pk }) => Number(pk) > 0)
    .sort((a, b) => Number(a.pk) - Number(b.pk))
    .map((row): KeyColumn => ({ name: String(row.name), type: String(row.type), collation: collations.get(row.name) }));
  // A key with an index of its own is no alias of the rowid, whatever it looks like.
  const isRowidKey = hasRowid && key.length === 1 && primary === undefined;
  const taken = new Set(all.map((row) => String(row.name).toLowerCase()));
  const free = ['rowid', '_rowid_', 'oid'].find((alias) => !taken.has(alias));
  return {
    ...table,
    columns: all.filter(({ hidden }) => Number(hidden) === 0).map((row) => String(row.name)),
    key,
    rowid: !hasRowid ? undefined : isRowidKey ? quoteName(key[0]?.name ?? '') : free,
    isRowidKey,
    hasRowid,
  };
}
