/**
 * A candidate in a process of its own, for tests that kill and freeze it: `candidate.ts <servers> <bucket> <id> <ttlMs>`.
 * While it leads it prints `lead <epoch> <CLOCK_MONOTONIC ms>` every few milliseconds. The time is read before the
 * question is asked, so a line is never later than the moment at which the answer was true.
 */
import { systemClock, systemEnv } from '@canopy/core';
import { connectNats } from '@canopy/nats';
import { Election } from '../src/index.ts';

const [servers = '', bucket = '', instanceId = '', ttl = ''] = process.argv.slice(2);
const env = systemEnv();
const session = await connectNats({ servers: [servers] }, { name: instanceId, env });
const election = new Election({ session, bucket, group: 'g', instanceId, ttl: Number(ttl) }, env);
await election.start();
process.stdout.write('started\n');

let ending = false;
process.on('SIGTERM', () => {
  ending = true;
});
while (!ending) {
  const at = systemClock.monotonic();
  const epoch = election.epoch;
  if (election.isLeader) process.stdout.write(`lead ${epoch} ${at}\n`);
  await systemClock.sleep(3);
}
await election.stop();
await session.close();
