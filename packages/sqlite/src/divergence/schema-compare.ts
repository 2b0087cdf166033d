/** How the schemas of two databases differ: columns that keep a table's rows from being compared, and what is no table. */
import type { DatabaseSync } from 'node:sqlite';
import { type KeyColumn, readObjects, type SchemaObject, type TableShape } from './table-shape.ts';

export interface SchemaProblem {
  readonly table?: string;
  readonly problem: string;
  /** As the kept database has it. */
  readonly sql?: string;
}

/** Why rows of the two tables can't be set side by side; undefined: they can, column by column of the same name. */
export function describeColumns(kept: TableShape, fork: TableShape): string | undefined {
  const here = kept.columns.filter((name) => !fork.columns.includes(name));
  const there = fork.columns.filter((name) => !kept.columns.includes(name));
  const parts = [
    ...(here.length === 0 ? [] : [`only here: ${here.join(', ')}`]),
    ...(there.length === 0 ? [] : [`only in the log: ${there.join(', ')}`]),
    ...(kept.kind === fork.kind ? [] : ['another kind of table']),
    ...(kept.hasRowid === fork.hasRowid ? [] : ['a rowid on one side only']),
    ...(kept.hasRowid || keyText(kept.key) === keyText(fork.key) ? [] : ['another primary key']),
  ];
  return parts.length === 0 ? undefined : parts.join('; ');
}

function keyText(key: readonly KeyColumn[]): string {
  return JSON.stringify(key.map(({ name, type, collation }) => [name, type, collation]));
}

/** Indexes, triggers and views that differ, and the numbers that an application keeps in the file's header. */
export function schemaProblems(connection: DatabaseSync): SchemaProblem[] {
  const headers = ['user_version', 'application_id'].flatMap((name): SchemaProblem[] => {
    const [kept, fork] = ['main', 'fork'].map((schema) => connection.prepare(`PRAGMA ${schema}.${name}`).get()?.[name]);
    return kept === fork ? [] : [{ problem: `PRAGMA ${name} is ${kept} here and ${fork} in the log` }];
  });
  const nameOf = ({ type, name }: SchemaObject): string => `${type} "${name}"`;
  const before = new Map(readObjects(connection, 'fork').map((object) => [nameOf(object), object]));
  const objects = readObjects(connection, 'main').flatMap((object): SchemaProblem[] => {
    const old = before.get(nameOf(object));
    before.delete(nameOf(object));
    if (old?.sql === object.sql && old.table === object.table) return [];
    const what = old === undefined ? 'exists only in the kept database' : 'has another definition than in the log';
    return [{ table: object.table, problem: `${nameOf(object)} ${what}`, sql: object.sql }];
  });
  const missing = [...before.values()].map(
    (object): SchemaProblem => ({
      table: object.table,
      problem: `${nameOf(object)} is missing in the kept database`,
    }),
  );
  return [...headers, ...objects, ...missing];
}
