/** A start that is aborted while NATS takes connections and says nothing: it ends with the signal's reason, and nothing runs. */
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Primary } from '../../src/standalone/primary.ts';
import { Replica } from '../../src/standalone/replica.ts';

let root: string;
let server: Server;
beforeEach(async () => {
  root = mkdtempSync(join(tmpdir(), 'canopy-abort-'));
  server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(() => {
  server.close();
  rmSync(root, { recursive: true, force: true });
});

test.each(['primary', 'replica', 'primary that shares its process'])('%s', async (kind) => {
  const db = join(root, 'a.db');
  const store = `nats://127.0.0.1:${(server.address() as AddressInfo).port}/orders`;
  if (kind !== 'replica') new DatabaseSync(db).close();
  const shared = kind.includes('shares') ? ({ process: 'shared' } as const) : {};
  const make = kind === 'replica' ? new Replica({ db, store }) : new Primary({ db, store, create: true, ...shared });
  const controller = new AbortController();
  const reason = new Error('changed my mind');
  server.once('connection', (socket) => {
    socket.on('error', () => {});
    controller.abort(reason);
  });
  await expect(make.start({ signal: controller.signal })).rejects.toBe(reason);
  await make.stop();
  expect(make.status().role).toBe('closed');
  expect(existsSync(join(root, 'a.db-canopy', 'state.json'))).toBe(false);
});
