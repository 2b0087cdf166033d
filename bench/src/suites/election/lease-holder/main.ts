/** A process that takes a lease, has it guarded by a warden, says so, and waits for its end. */
import { type ConnectionSpec, systemEnv } from '@canopy/core';
import { Election, Warden } from '@canopy/election';
import { connectNats } from '@canopy/nats';

const { connection, bucket, group, ttlMs } = JSON.parse(process.argv[2] as string) as {
  connection: ConnectionSpec;
  bucket: string;
  group: string;
  ttlMs: number;
};
const env = systemEnv();
const session = await connectNats(connection, { name: 'holder', env });
const warden = new Warden({ connection, node: 'holder' }, env);
await warden.start();
const watchdog = warden.lease(group);
const election = new Election({ session, bucket, group, instanceId: 'holder', ttl: ttlMs, watchdog, jitter: 0 }, env);
await election.start();
await election.waitForLeadership();
// The warden reaches NATS by itself, a little later than we do; a node in service has had that long.
await env.clock.sleep(500);
process.stdout.write('leads\n');
