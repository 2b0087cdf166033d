import { VirtualClock } from '@canopy/core/testing';
import { expect, test } from 'vitest';
import { type ReleaseOutcome, releaseLease } from '../../src/warden/release.ts';

const lease = { bucket: 'b', key: 'shop', revision: 7, deadline: 5000 };
const CONFLICT = JSON.stringify({ error: { code: 400, err_code: 10071 } });
const DONE = JSON.stringify({ stream: 'KV_b', seq: 9 });
const message = (seq: number, value: object): string =>
  JSON.stringify({ message: { seq, data: Buffer.from(JSON.stringify(value)).toString('base64') } });

interface Sent {
  readonly subject: string;
  readonly headers: Readonly<Record<string, string>>;
}

async function release(
  answers: readonly (string | 'silence' | 'nobody')[],
  token?: string,
): Promise<{ outcome: ReleaseOutcome; sent: Sent[]; redials: number; tookMs: number }> {
  const clock = new VirtualClock();
  const sent: Sent[] = [];
  let redials = 0;
  const link = {
    async request(subject: string, _body: string, headers: Sent['headers'], timeoutMs: number): Promise<string> {
      const answer = answers[Math.min(sent.length, answers.length - 1)] as string;
      sent.push({ subject, headers });
      if (answer === 'nobody') throw new Error('no responders');
      if (answer !== 'silence') return answer;
      await clock.sleep(timeoutMs);
      throw new Error('timeout');
    },
    async redial(): Promise<void> {
      redials += 1;
    },
  };
  const begun = clock.monotonic();
  let tookMs = 0;
  const work = releaseLease(link, clock, token === undefined ? lease : { ...lease, token }, begun + 10_000);
  void work.then(() => {
    tookMs = clock.monotonic() - begun;
  });
  await clock.advance(60_000);
  return { outcome: await work, sent, redials, tookMs };
}

test('one conditional delete, in the form of every KV client', async () => {
  const { outcome, sent } = await release([DONE]);
  expect(outcome).toBe('released');
  expect(sent).toEqual([
    { subject: '$KV.b.shop', headers: { 'KV-Operation': 'DEL', 'Nats-Expected-Last-Subject-Sequence': '7' } },
  ]);
});

test('a conflict without a token is final', async () => {
  expect(await release([CONFLICT])).toMatchObject({ outcome: 'refused', sent: { length: 1 } });
});

test('a conflict with our own token is followed to the present revision', async () => {
  const { outcome, sent } = await release([CONFLICT, message(8, { token: 't1' }), DONE], 't1');
  expect(outcome).toBe('released');
  expect(sent[1]?.subject).toBe('$JS.API.STREAM.MSG.GET.KV_b');
  expect(sent[2]?.headers['Nats-Expected-Last-Subject-Sequence']).toBe('8');
});

test.each([
  ['another token', message(8, { token: 't2' })],
  ['a deletion', JSON.stringify({ message: { seq: 8 } })],
  ['no message', JSON.stringify({ error: { code: 404, err_code: 10037 } })],
])('a conflict with %s is final', async (_name, answer) => {
  expect(await release([CONFLICT, answer], 't1')).toMatchObject({ outcome: 'refused', sent: { length: 2 } });
});

test('tokens are not followed for ever', async () => {
  const round = [CONFLICT, message(8, { token: 't1' })];
  const { outcome, sent } = await release([...round, ...round, ...round, ...round, ...round], 't1');
  expect(outcome).toBe('refused');
  expect(sent.length).toBeLessThan(10);
});

test('silence: dials anew, tries again, gives up at the bound', async () => {
  const { outcome, redials, tookMs } = await release(['silence']);
  expect(outcome).toBe('unreachable');
  expect(redials).toBeGreaterThan(5);
  expect(tookMs).toBeLessThanOrEqual(10_500);
});

test('nobody there, for a moment: no dialling, released when somebody is', async () => {
  const { outcome, redials } = await release(['nobody', 'nobody', 'nobody', DONE]);
  expect(outcome).toBe('released');
  expect(redials).toBe(0);
});
