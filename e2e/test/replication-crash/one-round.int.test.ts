/** One round of the campaign on replicated state, with and without a mistake that it has to find; more are in `many-rounds.int.test.ts`. */
import { expect, it } from 'vitest';
import { runReplicationCampaign } from '../../src/replication-crash/campaign.ts';
import type { PlannedRound } from '../../src/replication-crash/plan.ts';

/** What leader and master acknowledge while they are cut off goes with their disks. */
const LOSE: PlannedRound = {
  following: { kind: 'lose', victim: 'leader', pick: 0, delayMs: 0, lastsMs: 700 },
  masters: { kind: 'lose', victim: 'master', pick: 0, delayMs: 0, lastsMs: 700 },
};
const OPTIONS = { seed: 'lose', rounds: 1, keep: false, plan: [LOSE] };

it('a leader and a master that are cut off and lose their disks lose nothing but what only they had', async ({
  signal,
}) => {
  const told: string[] = [];
  const result = await runReplicationCampaign(OPTIONS, (text) => told.push(text), signal);
  expect(result.problems, told.join('\n')).toEqual([]);
  expect(result.terms).toBeGreaterThanOrEqual(2);
  expect(told).toHaveLength(1);
}, 600_000);

it('finds writes that were acknowledged before anybody else had them', async ({ signal }) => {
  const { problems } = await runReplicationCampaign({ ...OPTIONS, planted: 'early-answer' }, () => {}, signal);
  expect(problems).toContainEqual(
    expect.stringMatching(/^f\d acknowledged .* \((stream|followers:\d)\): it is not there/),
  );
  expect(problems).toContainEqual(expect.stringMatching(/^m1 acknowledged .* \(log\): it is lost/));
}, 600_000);

it('finds reads that forget what their session has seen', async ({ signal }) => {
  const plan: PlannedRound[] = [
    {
      following: { kind: 'cut', victim: 'follower', pick: 0, delayMs: 0, lastsMs: 2500 },
      masters: { kind: 'cut', victim: 'two-masters', pick: 0, delayMs: 0, lastsMs: 500 },
    },
  ];
  const { problems } = await runReplicationCampaign({ ...OPTIONS, plan, planted: 'any-read' }, () => {}, signal);
  expect(problems).toContainEqual(expect.stringMatching(/^f\d showed .* to a session that had seen/));
  expect(problems.filter((problem) => !problem.includes(' showed '))).toEqual([]);
}, 600_000);
