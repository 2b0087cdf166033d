/** The README's example is this file, and it runs. */
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually, freePort, spawnNode, temporaryDirectory, testNatsServer } from '@canopy/testkit';
import { expect, it } from 'vitest';

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

it('the README shows the example as it is', () => {
  expect(readFileSync(at('../../../README.md'), 'utf8')).toContain(readFileSync(at('../src/main.ts'), 'utf8').trim());
});

it('becomes active, serves through its proxy, and stops when told to', async () => {
  await using directory = await temporaryDirectory('library');
  await using nats = await testNatsServer();
  const program = join(directory.path, 'ledger');
  const ledger = at('../../ledger/bin/ledger.js');
  writeFileSync(program, `#!/bin/sh\nexec "${process.execPath}" "${ledger}" --accounts 2 "$@"\n`);
  chmodSync(program, 0o755);
  const [port, proxy] = [await freePort(), await freePort()];
  const dataDir = join(directory.path, 'data');
  await using node = await spawnNode(
    at('../src/main.ts'),
    ['n1', nats.url, dataDir, String(port), `127.0.0.1:${proxy}`],
    {
      environment: { PATH: `${directory.path}${delimiter}${process.env.PATH}` },
    },
  );
  await node.line(/active under epoch \d+/, { timeoutMs: 30_000 });
  const url = `http://127.0.0.1:${proxy}/transfers/t1`;
  const body = JSON.stringify({ from: 'acct-0', to: 'acct-1', amount: 3 });
  await eventually(async () => (await fetch(url, { method: 'PUT', body })).ok, { what: 'an acknowledged transfer' });
  node.signal('SIGTERM');
  expect((await node.exited).code).toBe(0);
});
