/**
 * A session over the nodes of this process: it reads what it wrote, and never something older than what it read. What it has seen is a
 * token; another process goes on with it.
 */
import type { LeaderFollowerManager } from '../manager.ts';
import type { WriteOperation, WriteOptions, WriteResult } from '../write-request.ts';
import { leaderAmong } from './read-router.ts';
import { formatSessionToken, parseSessionToken, requireSameLog, type SessionPosition } from './session-token.ts';

export interface SessionOptions {
  /** Of the same session, elsewhere or earlier. */
  readonly token?: string;
  /** How long a read may wait for a replica that is far enough, ms. Default 5000. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 5000;

export class SessionConsistentClient {
  readonly #nodes: readonly LeaderFollowerManager[];
  readonly #timeoutMs: number;
  #seen: SessionPosition | undefined;

  /** Throws SESSION_TOKEN_INVALID. */
  constructor(
    leader: LeaderFollowerManager,
    followers: readonly LeaderFollowerManager[],
    options: SessionOptions = {},
  ) {
    this.#nodes = [leader, ...followers];
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    this.#seen = options.token === undefined ? undefined : parseSessionToken(options.token);
  }

  /** What this session has seen; undefined when that is nothing. */
  get token(): string | undefined {
    return this.#seen === undefined ? undefined : formatSessionToken(this.#seen);
  }

  /** On the leader; a refusal that names another leader of this process is followed once. */
  async write(
    key: string,
    value: unknown,
    options: WriteOptions & { readonly operation?: WriteOperation } = {},
  ): Promise<WriteResult> {
    const { operation = 'update', ...rest } = options;
    const first = leaderAmong(this.#nodes);
    let result = await first.write({ key, value, operation }, rest);
    if (result.errorCode === 'FOLLOWER_READ_ONLY' || result.errorCode === 'NOT_LEADER') {
      const named = this.#nodes.find((node) => node !== first && node.getNodeId() === result.leaderId);
      if (named !== undefined) result = await named.write({ key, value, operation }, rest);
    }
    if (result.token !== undefined) this.#see(parseSessionToken(result.token));
    return result;
  }

  /**
   * From a follower that shows what this session has seen, else from the leader, else from whoever gets there first. Throws
   * DEADLINE_EXCEEDED when nobody does in time, SESSION_TOKEN_FOREIGN when the session is of another log.
   */
  async read(key: string): Promise<unknown> {
    const node = await this.#reader();
    // The value and the position are of one moment: nothing is awaited between them.
    const value = node.read(key);
    this.#see(node.position());
    return value;
  }

  async #reader(): Promise<LeaderFollowerManager> {
    const open = this.#nodes.filter((node) => !node.isClosed());
    const wanted = this.#seen?.sequence ?? 0;
    const isFar = (node: LeaderFollowerManager): boolean => node.getAppliedSequence() >= wanted;
    const leader = leaderAmong(open.length > 0 ? open : this.#nodes);
    const near = open.find((node) => node !== leader && isFar(node)) ?? (isFar(leader) ? leader : undefined);
    const seen = this.#seen;
    if (near !== undefined) {
      if (seen !== undefined) requireSameLog(seen, near.position());
      return near;
    }
    const token = formatSessionToken(seen as SessionPosition);
    const waits = open.map(async (node) => {
      await node.waitForToken(token, this.#timeoutMs);
      return node;
    });
    return Promise.any(waits).catch((error: AggregateError) => {
      throw error.errors[0] ?? error;
    });
  }

  #see(position: SessionPosition): void {
    if (this.#seen === undefined || position.sequence > this.#seen.sequence) this.#seen = position;
  }
}
