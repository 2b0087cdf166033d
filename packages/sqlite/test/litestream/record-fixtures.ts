/**
 * Makes test/fixtures/litestream-*: a small bucket as each generation of Litestream writes it, with the SHA-256 of what its
 * own restore makes of it at every transaction. Run by hand (`node` with this file) when a version is added; the tests
 * that read the fixtures need neither Go nor a server.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually, testNatsServer } from '@canopy/testkit';
import { write } from '../database/cluster.ts';
import { type Generation, litestreamBinaries, VERSIONS } from './binaries.ts';
import { LitestreamRig } from './rig.ts';
import { createDatabase } from './workload.ts';

const FIXTURES = fileURLToPath(new URL('../fixtures', import.meta.url));
const TIMES = { levels: ['1s', '3s'], snapshot: '2s', l0Retention: '1h' };
const PAGE_SIZE = 1024;

/** Pages that compress well, badly and not at all; growth, and a file that shrinks. */
const STEPS = [
  "INSERT INTO t (kind, body) VALUES ('text', replace(hex(zeroblob(900)), '00', 'abc '))",
  "INSERT INTO t (kind, body) VALUES ('noise', randomblob(5000))",
  "UPDATE t SET body = 'changed' WHERE kind = 'text'",
  "INSERT INTO t (kind, body) SELECT 'row ' || value, hex(randomblob(200)) FROM json_each('[1,2,3,4,5,6,7,8,9]')",
  "DELETE FROM t WHERE kind = 'noise'",
  'VACUUM',
  "INSERT INTO t (kind, body) VALUES ('last', 'row')",
];

const { paths, missing } = await litestreamBinaries();
for (const reason of missing.values()) throw new Error(reason);
await using nats = await testNatsServer();
for (const [generation, binary] of paths) await record(generation, binary);

async function record(generation: Generation, binary: string): Promise<void> {
  await using rig = await LitestreamRig.open(nats, `fixture_${generation}`);
  const path = join(rig.directory, 'app.db');
  createDatabase(path, PAGE_SIZE);
  write(path, 'PRAGMA journal_mode = WAL');
  const running = rig.replicate(binary, path, TIMES);
  const end = async (): Promise<number> => (await rig.log.end())?.position.txid ?? 0;
  const levels = async (): Promise<Set<number>> => new Set((await rig.log.all()).map(({ level }) => level));
  await eventually(async () => (await end()) > 0, { what: running.output });
  await eventually(async () => (await levels()).has(9), { what: `a snapshot; ${running.output}` });
  for (const step of STEPS) {
    const before = await end();
    write(path, step);
    await eventually(async () => (await end()) > before, { what: running.output });
  }
  await eventually(async () => (await levels()).size === 4, { what: `all levels; ${running.output}` });
  await running.stop();
  await store(rig, binary, generation, await end());
}

async function store(rig: LitestreamRig, binary: string, generation: Generation, end: number): Promise<void> {
  const directory = join(FIXTURES, `litestream-${VERSIONS[generation]}`);
  rmSync(directory, { recursive: true, force: true });
  const objects = [];
  for (const { name } of await rig.log.all()) {
    const found = await rig.blobs.read(name);
    if (found === undefined) throw new Error(`${name} is gone`);
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), found.bytes);
    const { headers, size, revision, writtenAt } = found.info;
    objects.push({ name, size, revision, writtenAt, headers, sha256: sha256(found.bytes) });
  }
  const restores = [];
  for (let txid = 1; txid <= end; txid++) {
    const outcome = await rig.theirs(binary, { txid });
    if ('failed' in outcome) throw new Error(outcome.failed);
    restores.push({ txid, sha256: outcome.sha });
  }
  const bucket = { litestream: VERSIONS[generation], pages: generation, pageSize: PAGE_SIZE, end, objects, restores };
  writeFileSync(join(directory, 'bucket.json'), `${JSON.stringify(bucket, undefined, 2)}\n`);
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
