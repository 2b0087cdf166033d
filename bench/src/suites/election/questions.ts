/** What a program pays for asking whether it leads. Baseline: one look at the clock, which no honest answer can omit. */
import type { Report } from '../../harness.ts';
import type { ElectionRig } from './rig.ts';

export async function measureQuestions(rig: ElectionRig, report: Report, calls: number): Promise<void> {
  const { clock } = rig.env;
  const election = await rig.election(await rig.session('questions'), { group: rig.newGroup(), instanceId: 'a' });
  try {
    await election.waitForLeadership({ timeout: 10_000 });
    const asks: readonly (readonly [string, number, () => unknown])[] = [
      ['is_leader', calls, () => election.isLeader],
      ['status', Math.ceil(calls / 10), () => election.status()],
    ];
    for (const [metric, count, ask] of asks) {
      const look = (): number => clock.monotonic();
      for (const warm of [ask, look]) nanoseconds(count, warm, look);
      const value = nanoseconds(count, ask, look);
      report.figure(metric, 'ns', value, nanoseconds(count, look, look));
    }
  } finally {
    await election.stop();
  }
}

/** Per call. What the calls give is kept, so that they can't be optimised away. */
function nanoseconds(calls: number, ask: () => unknown, now: () => number): number {
  let kept: unknown;
  const from = now();
  for (let i = 0; i < calls; i++) kept = ask();
  const ms = now() - from;
  if (kept === undefined) throw new Error('no answer');
  return (ms * 1e6) / calls;
}
