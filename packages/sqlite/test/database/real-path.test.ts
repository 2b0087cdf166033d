import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { realDatabasePath } from '../../src/database/real-path.ts';

test('links lead to the file, there or not; a directory keeps its name', () => {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'canopy-links-')));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const at = (name: string): string => join(root, name);
  mkdirSync(at('data/deep'), { recursive: true });
  writeFileSync(at('data/real.db'), '');
  symlinkSync('data/real.db', at('one.db'));
  symlinkSync(at('one.db'), at('two.db'));
  symlinkSync('data/none.db', at('dangling.db'));
  symlinkSync('data/deep', at('way'));
  symlinkSync('../real.db', at('data/deep/up.db'));
  symlinkSync('round.db', at('round.db'));
  for (const name of ['data/real.db', 'one.db', 'two.db', 'way/up.db'])
    expect(realDatabasePath(at(name)), name).toBe(at('data/real.db'));
  expect(realDatabasePath(at('dangling.db'))).toBe(at('data/none.db'));
  expect(realDatabasePath(at('way/new.db'))).toBe(at('way/new.db'));
  expect(() => realDatabasePath(at('round.db'))).toThrow(
    expect.objectContaining({ code: 'SQLITE_DESTINATION_INVALID' }),
  );
});
