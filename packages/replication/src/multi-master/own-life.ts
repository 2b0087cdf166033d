/** What the log's members say of this master's own life: whether it may write, or has ended. Pure. */
import type { SelfState } from './durable-state.ts';
import type { MemberState } from './members.ts';

/**
 * `unknown`: its announcement has not come. `joined`: it has, and counts. `late`: it began before the present life was announced, so its
 * announcement counts for nobody, wherever in the log it is. `replaced`, `removed`: it was a member once.
 */
export type LifeVerdict = 'unknown' | 'joined' | 'late' | 'replaced' | 'removed';

export function judgeLife(
  { incarnation, since = 0, joinedAt }: SelfState,
  known: MemberState | undefined,
): LifeVerdict {
  const isOurs = known !== undefined && known.incarnation === incarnation;
  if (isOurs) return known.active ? 'joined' : 'removed';
  if (joinedAt > 0) return known?.active ? 'replaced' : 'removed';
  return incarnation !== '' && since < (known?.joinedAt ?? 0) ? 'late' : 'unknown';
}
