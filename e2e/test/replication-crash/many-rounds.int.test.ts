/** Every fault of the campaign on replicated state once. `npm run test:crash -- --suite replication --rounds N --seed S` goes on. */
import { expect, it } from 'vitest';
import { runReplicationCampaign } from '../../src/replication-crash/campaign.ts';

it('replicas that are killed and stopped at random lose nothing that was acknowledged, and are equal', async ({
  signal,
}) => {
  const told: string[] = [];
  const options = { seed: 'deck', rounds: 10, keep: false };
  const result = await runReplicationCampaign(options, (text) => told.push(text), signal);
  expect(result.problems, told.join('\n')).toEqual([]);
  expect(result.acknowledged).toBeGreaterThan(500);
}, 600_000);
