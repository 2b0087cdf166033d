/** A store in memory that dies on demand: what it had committed is what the next life finds. */
import { MemoryStore, type SpaceMove, type StoreChange } from '../../src/index.ts';

export class SmallStore extends MemoryStore {
  /** Asked before and after each commit; throws to crash there. */
  atCommit: ((moment: 'before-commit' | 'after-commit') => void) | undefined;

  override commit(changes: readonly StoreChange[], moves?: readonly SpaceMove[]): void {
    this.atCommit?.('before-commit');
    super.commit(changes, moves);
    this.atCommit?.('after-commit');
  }
}
