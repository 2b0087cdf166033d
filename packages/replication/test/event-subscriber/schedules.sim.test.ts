/** CANOPY_SIM_SEEDS sets the number of schedules. */
import { expect, it } from 'vitest';
import { type Planted, problemsOf, runSchedule } from './schedules.ts';

const SEEDS = Number(process.env.CANOPY_SIM_SEEDS ?? 150);

it(`handles everything, in order, each effect once, no checkpoint ahead, under ${SEEDS} seeds`, async () => {
  let [handled, failed, lives] = [0, 0, 0];
  for (let seed = 1; seed <= SEEDS; seed++) {
    const history = await runSchedule(seed);
    expect(problemsOf(history), `seed ${seed}`).toEqual([]);
    handled += history.steps.filter(({ type }) => type === 'handled').length;
    failed += history.steps.filter(({ type }) => type === 'failed').length;
    lives += new Set(history.steps.map((step) => ('life' in step ? step.life : 0))).size;
  }
  expect(handled).toBeGreaterThan(SEEDS * 10);
  expect(failed).toBeGreaterThan(SEEDS);
  expect(lives).toBeGreaterThan(SEEDS);
});

const PLANTS: readonly Planted[] = ['checkpoint-ahead', 'lost-event', 'doubled-effect', 'out-of-order'];

for (const planted of PLANTS)
  it(`the checker finds ${planted}`, async () => {
    let found = 0;
    for (let seed = 1; seed <= 5; seed++) found += problemsOf(await runSchedule(seed, planted)).length > 0 ? 1 : 0;
    expect(found).toBeGreaterThanOrEqual(4);
  });
