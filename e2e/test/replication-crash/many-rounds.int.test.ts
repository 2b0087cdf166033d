/** Every fault of the campaign on replicated state once, while there is time. `npm run test:crash -- --suite replication --rounds N --seed S` goes on. */
import { expect, it } from 'vitest';
import { runReplicationCampaign } from '../../src/replication-crash/campaign.ts';
import { DECK_ROUNDS } from '../../src/replication-crash/plan.ts';

it('replicas that are killed, stopped, cut off and wiped at random lose nothing, and are equal', async ({ signal }) => {
  const told: string[] = [];
  const options = { seed: 'deck', rounds: DECK_ROUNDS, keep: false, withinMs: 20_000 };
  const result = await runReplicationCampaign(options, (text) => told.push(text), signal);
  expect(result.problems, told.join('\n')).toEqual([]);
  expect(result.acknowledged).toBeGreaterThan(100);
}, 600_000);
