/**
 * The recorder outside: starts candidates as processes and gathers from what they wrote when each of them said that it
 * leads. Its verdict is on the whole history, whatever was done to processes, servers and network meanwhile.
 */
import { systemClock } from '@canopy/core';
import {
  type ChildNode,
  eventually,
  type LeadershipInterval,
  type LeadershipViolation,
  leadershipViolations,
  spawnNode,
} from '@canopy/testkit';
import type { ElectionOptions } from '../../src/index.ts';

const CANDIDATE = new URL('./candidate.ts', import.meta.url);
const SAID = /^(?:lead|last) (\d+) ([\d.]+)$/;

export class Recorder implements AsyncDisposable {
  readonly bucket: string;
  readonly ttlMs: number;
  readonly #candidates = new Map<string, ChildNode[]>();

  constructor(bucket: string, ttlMs: number) {
    this.bucket = bucket;
    this.ttlMs = ttlMs;
  }

  /** A started candidate; the same id again for one that was restarted. */
  async candidate(id: string, servers: readonly string[], options: Partial<ElectionOptions> = {}): Promise<ChildNode> {
    const place = [servers.join(','), this.bucket, id, String(this.ttlMs)];
    const child = await spawnNode(CANDIDATE, [...place, JSON.stringify(options)]);
    this.add(id, child);
    await child.line(/^started/);
    return child;
  }

  /** Any process that writes the same lines. */
  add(id: string, child: ChildNode): void {
    this.#candidates.set(id, [...(this.#candidates.get(id) ?? []), child]);
  }

  /** In the order in which they first came. */
  ids(): string[] {
    return [...this.#candidates.keys()];
  }

  /** The latest process of that id. */
  process(id: string): ChildNode {
    return this.#candidates.get(id)?.at(-1) as ChildNode;
  }

  /** One interval per term: from the first to the last moment at which its holder said that it leads. */
  history(): LeadershipInterval[] {
    return [...this.#candidates].flatMap(([holder, lives]) => lives.flatMap((life) => intervalsOf(holder, life)));
  }

  violations(): readonly LeadershipViolation[] {
    return leadershipViolations(this.history());
  }

  /** Who leads now: said so within the last 150 ms. */
  leader(): string | undefined {
    const now = systemClock.monotonic();
    return this.history().find(({ toMs }) => (toMs ?? 0) > now - 150)?.holder;
  }

  /** Resolves with who is the leader once somebody is, not `besides`. */
  async led(options: { besides?: string; timeoutMs?: number } = {}): Promise<string> {
    const { besides, timeoutMs = 4 * this.ttlMs + 2000 } = options;
    const since = systemClock.monotonic();
    const fresh = (): string | undefined =>
      this.history().find(({ toMs, holder }) => (toMs ?? 0) > since && holder !== besides)?.holder;
    return eventually(fresh, { timeoutMs, what: `a leader besides ${besides ?? 'nobody'}` });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const all = [...this.#candidates.values()].flat();
    for (const child of all) child.signal('SIGCONT');
    await Promise.all(all.map((child) => child[Symbol.asyncDispose]()));
  }
}

function intervalsOf(holder: string, child: ChildNode): LeadershipInterval[] {
  const terms = new Map<number, LeadershipInterval>();
  for (const line of child.lines) {
    const match = SAID.exec(line);
    if (match === null) continue;
    const [epoch, at] = [Number(match[1]), Number(match[2])];
    terms.set(epoch, { key: 'g', holder, epoch, fromMs: terms.get(epoch)?.fromMs ?? at, toMs: at });
  }
  return [...terms.values()];
}
