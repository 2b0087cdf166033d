/**
 * A candidate in a process of its own: `candidate.ts <servers, by commas> <bucket> <id> <ttlMs> [more options, JSON]`. It asks
 * itself every few milliseconds whether it leads and writes the answers down for a recorder outside: `lead <epoch>
 * <CLOCK_MONOTONIC ms>` from time to time while it does, `last <epoch> <ms>` with the last moment at which it did once it no
 * longer does. The time is read before the question is asked, so a line is never later than the moment at which the answer
 * was true. It gives its lease up when asked.
 */
import { systemClock, systemEnv } from '@canopy/core';
import { connectNats } from '@canopy/nats';
import { Election, type ElectionOptions, ElectionResponder } from '../../src/index.ts';

const LOOK_MS = 2;
const WRITE_MS = 25;

const [servers = '', bucket = '', instanceId = '', ttl = '', more = '{}'] = process.argv.slice(2);
const env = systemEnv();
const session = await connectNats(
  { servers: servers.split(',') },
  { name: instanceId, env, waitForServer: true, timeoutMs: 20_000 },
);
const options = JSON.parse(more) as Partial<ElectionOptions>;
const election = new Election({ session, bucket, group: 'g', instanceId, ttl: Number(ttl), ...options }, env);
const responder = new ElectionResponder(election, { bus: session.bus, bucket }, env);
await responder.start();
await election.start();
const say = (line: string): void => void process.stdout.write(`${line}\n`);
say('started');

let ending = false;
process.on('SIGTERM', () => {
  ending = true;
});
let term: { epoch: number; at: number; written: number } | undefined;
while (!ending) {
  const at = systemClock.monotonic();
  const epoch = election.isLeader ? election.epoch : undefined;
  if (term !== undefined && term.epoch !== epoch) {
    say(`last ${term.epoch} ${term.at}`);
    term = undefined;
  }
  if (epoch !== undefined) {
    term ??= { epoch, at, written: Number.NEGATIVE_INFINITY };
    term.at = at;
    if (at - term.written >= WRITE_MS) {
      say(`lead ${epoch} ${at}`);
      term.written = at;
    }
  }
  await systemClock.sleep(LOOK_MS);
}
await election.stop();
await responder.stop();
await session.close();
