import { expect, test } from 'vitest';
import { runCli } from '../../src/program.ts';

test.each([
  [['db', 'restore', '--store', '/nowhere', '--to', ''], '--to names no file'],
  [['db', 'status', '--store', '/nowhere', '--server', 'nats://127.0.0.1:1'], 'not both'],
  [['db', 'status', '--store', '/nowhere', '--platform', 'p'], 'not both'],
  [['db', 'status', 'ledger', '--store', '/nowhere'], 'not both'],
])('%j is wrong usage', async (args, problem) => {
  const told: string[] = [];
  const streams = { out: { write: () => {} }, err: { write: (text: string) => told.push(text) } };
  expect(await runCli({ args, environment: {}, streams })).toBe(2);
  expect(told.join('')).toContain(problem);
});
