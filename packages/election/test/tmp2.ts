import { createLogger, systemClock, systemEnv } from '@canopy/core';
import { connectNats } from '@canopy/nats';
import { testNatsServer } from '@canopy/testkit';
import { Election } from '../src/index.ts';

const t0 = systemClock.monotonic();
const env = systemEnv({
  log: createLogger((l, e, f) =>
    console.log(
      (systemClock.monotonic() - t0).toFixed(1),
      l,
      e,
      JSON.stringify({ ...f, group: undefined, bucket: undefined }),
    ),
  ),
});
await using nats = await testNatsServer();
const mk = async (n: string) => connectNats(nats.connection, { name: n, env });
const s1 = await mk('a');
const s2 = await mk('b');
const a = new Election({ session: s1, bucket: 'b1', group: 'f', instanceId: 'a', holdOff: 20 }, env),
  b = new Election({ session: s2, bucket: 'b1', group: 'f', instanceId: 'b', holdOff: 20 }, env);
await a.start();
await b.start();
await a.waitForLeadership();
let cur = a,
  oth = b;
for (let i = 0; i < 3; i++) {
  await Promise.all([oth.waitForLeadership({ timeoutMs: 3000 }), cur.handoff(oth.instanceId)]);
  [cur, oth] = [oth, cur];
  await systemClock.sleep(5);
}
await a.stop();
await b.stop();
await s1.close();
await s2.close();
