import { existsSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

it('the table of features names thirty of them, and tests that exist', () => {
  const text = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const rows = text.split('\n').filter((line) => /^\| [\d-]+ \|/.test(line));
  const numbers = rows.flatMap((row) => {
    const [from = 0, to = from] = (/^\| ([\d-]+)/.exec(row)?.[1] ?? '').split('-').map(Number);
    return Array.from({ length: to - from + 1 }, (_, i) => from + i);
  });
  expect(numbers).toEqual(Array.from({ length: 30 }, (_, i) => i + 1));
  const named = rows.flatMap((row) =>
    [...row.matchAll(/`([\w/-]+(?:\.test\.ts|\.int\.test\.ts|\/))`/g)].map(([, path]) => path),
  );
  expect(named.length).toBeGreaterThan(30);
  for (const path of named) expect(existsSync(new URL(`./${path}`, import.meta.url)), path).toBe(true);
});
