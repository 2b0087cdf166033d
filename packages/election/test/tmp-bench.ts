import { systemClock, systemEnv } from '@canopy/core';
import { connectNats } from '@canopy/nats';
import { testNatsServer } from '@canopy/testkit';
import { Election } from '../src/index.ts';

const env = systemEnv();
await using nats = await testNatsServer();
const mk = async (n: string) => connectNats(nats.connection, { name: n, env });
const s1 = await mk('a');
const s2 = await mk('b');
const e = new Election({ session: s1, bucket: 'b1', group: 'x', instanceId: 'a' }, env);
await e.start();
await e.waitForLeadership();
for (let r = 0; r < 3; r++) {
  let n = 0;
  const t = process.hrtime.bigint();
  for (let i = 0; i < 5e6; i++) if (e.isLeader) n++;
  console.log('isLeader ns', Number(process.hrtime.bigint() - t) / 5e6, n);
}
{
  let n = 0;
  const t = process.hrtime.bigint();
  for (let i = 0; i < 1e6; i++) n += e.status().leaseLeftMs;
  console.log('status ns', Number(process.hrtime.bigint() - t) / 1e6);
}
{
  const t = process.hrtime.bigint();
  let x = 0;
  for (let i = 0; i < 5e6; i++) x += performance.now();
  console.log('performance.now ns', Number(process.hrtime.bigint() - t) / 5e6, x > 0);
}
await e.stop();
const q = (a: number[], p: number) =>
  a.sort((x, y) => x - y)[Math.min(a.length - 1, Math.floor(a.length * p))]?.toFixed(2);
const kv = await s1.kv('b1');
const rtt: number[] = [];
let rev = await kv.create('rtt', new Uint8Array(100));
for (let i = 0; i < 500; i++) {
  const t = systemClock.monotonic();
  rev = await kv.update('rtt', new Uint8Array(100), rev);
  rtt.push(systemClock.monotonic() - t);
}
console.log('kv update p50', q(rtt, 0.5), 'p99', q(rtt, 0.99));
const acq: number[] = [];
for (let i = 0; i < 200; i++) {
  const el = new Election({ kv, group: `g${i}`, instanceId: 'a' }, env);
  await el.start();
  // from start's end unknown; measure whole start..lead minus opening
  const t0 = el as any;
  await el.waitForLeadership();
  await el.stop();
}
for (let i = 0; i < 200; i++) {
  const el = new Election({ kv, group: `h${i}`, instanceId: 'a' }, env);
  const t = systemClock.monotonic();
  await el.start();
  await el.waitForLeadership();
  acq.push(systemClock.monotonic() - t);
  await el.stop();
}
console.log('start to leader p50', q(acq, 0.5), 'p99', q(acq, 0.99));
const a = new Election({ session: s1, bucket: 'b1', group: 'f', instanceId: 'a', holdOff: 20 }, env),
  b = new Election({ session: s2, bucket: 'b1', group: 'f', instanceId: 'b', holdOff: 20 }, env);
await a.start();
await b.start();
await a.waitForLeadership();
let cur = a,
  oth = b;
const ho: number[] = [],
  hd: number[] = [];
for (let i = 0; i < 200; i++) {
  const t = systemClock.monotonic();
  await Promise.all([oth.waitForLeadership({ timeoutMs: 5000 }), cur.stepDown({ holdOffMs: 50 })]);
  ho.push(systemClock.monotonic() - t);
  [cur, oth] = [oth, cur];
  await systemClock.sleep(55);
}
console.log('step-down failover p50', q(ho, 0.5), 'p99', q(ho, 0.99));
for (let i = 0; i < 200; i++) {
  const t = systemClock.monotonic();
  await Promise.all([oth.waitForLeadership({ timeoutMs: 5000 }), cur.handoff(oth.instanceId)]);
  hd.push(systemClock.monotonic() - t);
  [cur, oth] = [oth, cur];
  await systemClock.sleep(5);
}
console.log('hand-off p50', q(hd, 0.5), 'p99', q(hd, 0.99));
await a.stop();
await b.stop();
await s1.close();
await s2.close();
