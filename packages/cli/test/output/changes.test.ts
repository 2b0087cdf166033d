import { describe, expect, it } from 'vitest';
import { changeLine, tableCounts, tableHeading } from '../../src/output/changes.ts';

describe('changed rows in words', () => {
  it.each([
    [{ change: 'insert', key: ['id'], row: { id: 1, x: null, y: { real: '5.0' } } }, 'added    id=1, x=NULL, y=5.0'],
    [{ change: 'delete', rowid: 3, before: { a: { int: '9007199254740993' } } }, 'removed  a=9007199254740993'],
    [
      { change: 'update', key: ['k', 'j'], row: { k: 'a', j: 1, x: 'A' }, before: { k: 'a', j: 1, x: 'a' } },
      'changed  k="a", j=1  x: "a" → "A"',
    ],
    [{ change: 'update', rowid: 5, row: { x: { real: '1.0' } }, before: { x: 1 } }, 'changed  row 5  x: 1 → 1.0'],
    [
      { change: 'update', row: { '(rowid)': 5, id: 'k', x: 2 }, before: { '(rowid)': 5, id: 'k', x: 1 } },
      'changed  row 5  x: 1 → 2',
    ],
    [
      { change: 'insert', rowid: null, row: { b: { hex: '00ff' }, t: { textHex: 'ff' } } },
      "added    b=x'00ff', t=text x'ff'",
    ],
    [{ change: 'update', rowid: 7, tooLongBytes: 9 }, 'changed  row 7  a row of 9 bytes, too long to be shown here'],
    [{ change: 'create', sql: 'CREATE TABLE t(x)', problem: 'new' }, 'created  CREATE TABLE t(x)'],
    [{ problem: 'its definition differs' }, '! its definition differs'],
  ] as const)('%j', (change, line) => {
    expect(changeLine({ table: 't', ...change })).toBe(line);
  });

  it('values that are cut are told by their length, and differ where they differ', () => {
    const before = { b: { hex: '00'.repeat(40) }, x: 'a'.repeat(100) };
    const row = { b: { hex: `${'00'.repeat(39)}01` }, x: 'a'.repeat(101) };
    const line = changeLine({ table: 't', change: 'update', rowid: 1, row, before });
    expect(line).toContain("…' (40 bytes) → x'");
    expect(line).toContain('(100 characters) → ');
    expect(line).toContain('(101 characters)');
  });

  it('no control character of a name, a value or a reason reaches the terminal', () => {
    const evil = '\u001b[2J\u009b1m\n\u202e';
    const said = [
      changeLine({ change: 'insert', row: { [evil]: evil } }),
      changeLine({ change: 'insert', row: { x: { real: evil } } }),
      changeLine({ problem: evil }),
      changeLine({ change: 'create', sql: evil }),
      tableHeading({ table: evil }),
    ].join('');
    expect(said).not.toMatch(/[\p{Cc}\u202e]/u);
    expect(tableCounts([{ table: evil, rows: 1, problem: evil }])?.split('\n')).toHaveLength(2);
  });

  it('tables are counted; those of an earlier version only in all', () => {
    const tables = [
      { table: 'accounts', rows: 6, inserted: 3, updated: 2, deleted: 1 },
      { table: 'old', rows: 4 },
      { table: 'same', rows: 0 },
      { table: 'f', rows: 0, inserted: 0, updated: 0, deleted: 0, problem: 'virtual table' },
    ];
    expect(tableCounts(tables)).toBe(
      [
        'TABLE     ROWS  ADDED  CHANGED  REMOVED  NOTE',
        'accounts  6     3      2        1        -',
        'old       4     -      -        -        -',
        'f         0     0      0        0        virtual table',
      ].join('\n'),
    );
    expect(tableCounts(undefined)).toBeUndefined();
  });
});
