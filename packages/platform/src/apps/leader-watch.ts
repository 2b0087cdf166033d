/**
 * Who leads the app, as seen here, and what follows from a change: the timeline's `lost` and `following`, and the user's
 * hook. Of several changes while the hook runs only the latest is told.
 */
import { messageOf } from '@canopy/core';
import type { HookRunner, LeaderChangeContext } from './hooks.ts';
import type { ResolvedAppOptions } from './options.ts';
import type { KnownLeader } from './route-board.ts';
import type { Timeline } from './timeline.ts';

export class LeaderWatch {
  readonly #node: string;
  readonly #hook: ResolvedAppOptions['hooks']['onLeaderChange'];
  readonly #hooks: HookRunner;
  readonly #timeline: Timeline;
  #leader: string | undefined;
  #epoch: number | undefined;
  #isHookPending = false;

  constructor(deps: {
    node: string;
    hook: ResolvedAppOptions['hooks']['onLeaderChange'];
    hooks: HookRunner;
    timeline: Timeline;
  }) {
    this.#node = deps.node;
    this.#hook = deps.hook;
    this.#hooks = deps.hooks;
    this.#timeline = deps.timeline;
  }

  /** The last known leader's epoch. */
  get epoch(): number | undefined {
    return this.#epoch;
  }

  /** What the election says now. */
  seen(leader: KnownLeader, epoch: number | undefined): void {
    const before = this.#leader;
    this.#leader = leader.id;
    this.#epoch = epoch;
    if (before === leader.id) return;
    if (before !== undefined && before !== this.#node) this.#lost(before);
    if (leader.id !== undefined && leader.id !== this.#node)
      this.#timeline.add('following', { epoch, detail: leader.id });
    this.#runHook();
  }

  /** This node was elected, perhaps before the election's own event was read. */
  elected(epoch: number): void {
    if (this.#leader !== undefined && this.#leader !== this.#node) this.#lost(this.#leader);
    this.#timeline.add('elected', { epoch });
  }

  /** Once per transition. */
  #lost(leader: string): void {
    if (this.#timeline.lostAt === undefined) this.#timeline.add('lost', { detail: leader });
  }

  #runHook(): void {
    const hook = this.#hook;
    if (hook === undefined || this.#isHookPending) return;
    this.#isHookPending = true;
    const tellLatest = (context: LeaderChangeContext): void | Promise<void> => {
      this.#isHookPending = false;
      const latest = { ...context, leader: this.#leader, epoch: this.#epoch };
      return typeof hook === 'function' ? hook(latest) : hook.run(latest);
    };
    const timed = typeof hook === 'function' ? tellLatest : { run: tellLatest, timeout: hook.timeout };
    this.#hooks
      .run('onLeaderChange', timed, { leader: this.#leader, epoch: this.#epoch })
      .catch((error: unknown) => this.#timeline.add('hook_failed', { detail: messageOf(error) }));
  }
}
