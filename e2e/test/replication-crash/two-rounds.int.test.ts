/** Two rounds of the campaign on replicated state; more are in `many-rounds.int.test.ts`. */
import { expect, it } from 'vitest';
import { runReplicationCampaign } from '../../src/replication-crash/campaign.ts';
import { planBlows } from '../../src/replication-crash/plan.ts';

const SEED = 's120';

it('a leader and masters that are killed under load lose nothing, and their replicas are equal', async ({ signal }) => {
  expect(planBlows(SEED, 2).map(({ victim }) => victim)).toContain('leader');
  const told: string[] = [];
  const result = await runReplicationCampaign(
    { seed: SEED, rounds: 2, keep: false },
    (text) => told.push(text),
    signal,
  );
  expect(result.problems, told.join('\n')).toEqual([]);
  expect(result.terms).toBeGreaterThanOrEqual(2);
  expect(told).toHaveLength(2);
}, 180_000);
