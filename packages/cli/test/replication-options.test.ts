import { resolveSqliteOptions } from '@canopy/sqlite';
import { InvalidArgumentError } from 'commander';
import { expect, test } from 'vitest';
import { runCli } from '../src/program.ts';
import { BOTH, FOLLOW, flagOf, type LibraryOption, REPLICATE } from '../src/replication-options.ts';

const all = [...new Map([...REPLICATE, ...FOLLOW, ...BOTH].map((one) => [one.name, one])).values()];
const read = ({ read: reader = String }: LibraryOption, text: string): unknown => reader(text);

test.each(all.filter((one) => one.default !== undefined))("the default of $name is the library's", (option) => {
  const given = { [option.name]: read(option, option.default as string) };
  expect(resolveSqliteOptions(given)).toEqual(resolveSqliteOptions());
  for (const choice of option.choices ?? []) resolveSqliteOptions({ [option.name]: choice });
});

test('every option of the library is one here, but for that of programs with many databases', () => {
  const names = Object.keys(resolveSqliteOptions()).map((name) => name.replace(/(Ms|Bytes)$/, ''));
  expect([...all.map(({ name }) => name), 'process'].sort()).toEqual(names.sort());
});

test('what is written is read as the library takes it', () => {
  const of = (name: string, text: string) => read(all.find((one) => one.name === name) as LibraryOption, text);
  expect(resolveSqliteOptions({ maxWal: of('maxWal', '64MiB') as number }).maxWalBytes).toBe(64 * 2 ** 20);
  expect(of('maxWal', '1048576')).toBe(1048576);
  expect(() => of('maxWal', 'much')).toThrow(InvalidArgumentError);
  expect(of('compactionLevels', 'none')).toEqual([]);
  expect(of('compactionLevels', '10s, 1m')).toEqual(['10s', '1m']);
  expect(of('verifyInterval', '0')).toBe(0);
  expect(flagOf('keepSegments')).toBe('--keep-segments');
});

async function run(...args: string[]): Promise<{ code: number; text: string }> {
  const told: string[] = [];
  const write = (text: string) => told.push(text);
  const code = await runCli({ args, environment: {}, streams: { out: { write }, err: { write } } });
  return { code, text: told.join('') };
}

test.each([
  ['--compaction-levels', '30s,45s', '--compaction-levels must grow by multiples'],
  ['--replicas', '9', '--replicas'],
  ['--keep-snapshots', 'many', '--keep-snapshots'],
  ['--retention', 'soon', '--retention'],
  ['--max-wal', '12', '--max-wal'],
  ['--page-encoding', 'zip', '--page-encoding'],
])('%s %s is wrong usage, told with the flag', async (flag, value, problem) => {
  const { code, text } = await run('db', 'replicate', '/nowhere/a.db', '--store', '/nowhere/log', flag, value);
  expect(code).toBe(2);
  expect(text).toContain(problem);
});

test('help has a line with unit and default for each', async () => {
  const { text } = await run('db', 'replicate', '--help');
  const flat = text.replace(/\s+/g, ' ');
  for (const option of REPLICATE) {
    expect(flat).toContain(flagOf(option.name));
    if (option.default !== undefined) expect(flat).toContain(`(default ${option.default})`);
  }
});
