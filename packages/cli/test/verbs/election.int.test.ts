/** `canopy election status|watch|stepdown` against leases of several kinds. */
import { systemEnv } from '@canopy/core';
import { Election } from '@canopy/election';
import { connectNats, type NatsSession } from '@canopy/nats';
import { type TestNatsServer, testNatsServer } from '@canopy/testkit';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { EXIT } from '../../src/exit-codes.ts';
import { canopy, startCanopy } from './canopy.ts';

const BUCKET = 'roles';
const env = systemEnv();
let nats: TestNatsServer;
let session: NatsSession;

beforeAll(async () => {
  nats = await testNatsServer();
  session = await connectNats(nats.connection, { name: 'test', env });
  await session.ensureKv(BUCKET, { ttlMs: 10_000 });
});
afterAll(async () => {
  await session?.close();
  await nats?.[Symbol.asyncDispose]();
});

const verb = (...args: string[]) => canopy(['election', ...args, '--server', nats.url, '--bucket', BUCKET]);
const json = (...args: string[]) =>
  canopy(['-o', 'json', 'election', ...args, '--server', nats.url, '--bucket', BUCKET]);

async function leader(group: string, instanceId: string, ttl = 10_000): Promise<Election> {
  const election = new Election({ session, bucket: BUCKET, group, instanceId, ttl }, env);
  onTestFinished(() => election.stop());
  await election.start();
  await election.waitForLeadership({ timeout: 5000 });
  return election;
}

describe('canopy election', () => {
  it('status shows holder, epoch and what is left of the lease; the exit code says whether all are held', async () => {
    const { epoch } = await leader('printer', 'n1');
    const table = await verb('status');
    expect(table.code, table.output).toBe(EXIT.ok);
    expect(table.output).toMatch(/GROUP +LEADER +EPOCH +RENEWED +LEASE LEFT +STATE/);
    expect(table.output).toMatch(new RegExp(`printer +n1 +${epoch} +.* ago +.*held`));
    const { groups } = JSON.parse((await json('status', '--group', 'printer')).output);
    expect(groups).toMatchObject([{ group: 'printer', holder: 'n1', epoch, standing: 'held', ttlMs: 10_000 }]);
    expect(groups[0].leaseLeftMs).toBeGreaterThan(0);
    expect(groups[0].leaseLeftMs).toBeLessThanOrEqual(10_000);
  });

  it('status does not call a lease lost that its holder may go on with by promise', async () => {
    const kv = await session.kv(BUCKET);
    const value = { id: 'n9', token: 't', ttl: 1, failsafe: { limit: 600_000, peers: ['x'] } };
    await kv.put('promised', new TextEncoder().encode(JSON.stringify(value)));
    const { output } = await verb('status', '--group', 'promised');
    expect(output).toContain('run out, or held by promise (failsafe)');
    await kv.put('promised', new TextEncoder().encode(JSON.stringify({ ...value, failsafe: undefined })));
    expect((await verb('status', '--group', 'promised')).output).toMatch(/run out$/m);
    await kv.delete('promised', (await kv.get('promised'))?.revision as number);
  });

  it('status says when there is nobody, or a value that is no lease', async () => {
    expect(await verb('status', '--group', 'nobody')).toMatchObject({
      code: EXIT.notFound,
      output: expect.stringContaining('ELECTION_GROUP_VACANT'),
    });
    const kv = await session.kv(BUCKET);
    await kv.put('broken', new TextEncoder().encode('{'));
    expect(await verb('status', '--group', 'broken')).toMatchObject({
      code: EXIT.failed,
      output: expect.stringContaining('unreadable'),
    });
    const none = await canopy(['election', 'status', '--server', nats.url, '--bucket', 'none']);
    expect(none).toMatchObject({ code: EXIT.unreachable, output: expect.stringContaining('KV_BUCKET_MISSING') });
  });

  it('watch tells every change once, as JSON lines, and ends with ctrl-C', async () => {
    const args = ['-o', 'json', 'election', 'watch', '--server', nats.url, '--bucket', BUCKET, '--group', 'seen'];
    await using watch = await startCanopy(args);
    await watch.line(/synced/);
    const first = await leader('seen', 'n1', 900);
    await watch.line(/"led".*"n1"/);
    // Several renewals: none of them is news.
    await env.clock.sleep(1000);
    await first.stop();
    await watch.line(/"vacant"/);
    const kv = await session.kv(BUCKET);
    const lease = { id: 'ghost', token: 't', ttl: 500 };
    await kv.put('seen', new TextEncoder().encode(JSON.stringify(lease)));
    await watch.line(/"expired".*"ghost"/);
    watch.signal('SIGINT');
    expect((await watch.exited).code).toBe(EXIT.ok);
    const types = watch.lines.map((line) => JSON.parse(line) as { type: string; holder?: string });
    expect(types.map(({ type }) => type)).toEqual(['synced', 'led', 'vacant', 'led', 'expired']);
    expect(types[1]).toMatchObject({ group: 'seen', holder: 'n1', epoch: expect.any(Number) });
  });

  it('stepdown says so when the leader does not listen', async () => {
    const election = await leader('deaf', 'n1');
    const told = await verb('stepdown', '--group', 'deaf');
    expect(told).toMatchObject({ code: EXIT.unreachable, output: expect.stringContaining('ELECTION_HOLDER_SILENT') });
    expect(election.isLeader).toBe(true);
    expect((await verb('stepdown', '--group', 'nobody')).code).toBe(EXIT.notFound);
  });
});
