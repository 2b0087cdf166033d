/**
 * Asks the nodes of a namespace how they are, and has them do what an operator wants. Takes no part itself: any process with a connection
 * can. Every call is bounded by `timeoutMs`; nodes that are known and did not answer are named.
 */
import { type Env, hasCode, systemEnv } from '@canopy/core';
import type { Bus } from '@canopy/nats';
import { replicationErrors } from '../errors.ts';
import { checkNamespace } from '../log/subjects.ts';
import { type Gathered, gather } from './gather.ts';
import type { HotSpot, MasterStatus, ReplicaClock } from './managed-replica.ts';
import {
  ADMIN_VERSION,
  type AdminOp,
  type Answer,
  decodeAnswer,
  encodeMessage,
  MESSAGE_BYTES_MAX,
} from './messages.ts';
import type { ConflictsResult, StatusResult } from './operations.ts';
import { type RecoverOptions, watchRecovery } from './recover.ts';
import type { RecoveryReport } from './recovery-run.ts';
import { type ClockComparison, type ClockSample, compareClocks } from './reports/clocks.ts';
import { type ConflictReport, type HotReport, mergeConflicts, mergeHot } from './reports/conflicts.ts';
import type { LagRow } from './reports/lag.ts';
import { type NodeFailure, type NodeReport, type ReplicationStatus, statusReport } from './reports/status.ts';
import { nodeSubject } from './subjects.ts';

const TIMEOUT_MS = 2000;
const SAMPLES = 5;
/** Nodes asked for their time at once: answers that wait for each other tell less. */
const CLOCKS_AT_ONCE = 8;

export interface ReplicationAdminOptions {
  /** Of a session: `session.bus`. It is not closed. */
  readonly bus: Bus;
  readonly namespace: string;
  /** Nodes that have to answer, beside those that the others know of. */
  readonly expected?: readonly string[];
  /** Bound on each call but `recover`. Default 2 s. */
  readonly timeoutMs?: number;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

export type Decision =
  /** The entity as it shall be; null deletes it. */
  | { readonly data: Readonly<Record<string, unknown>> | null }
  /** The version of this master. */
  | { readonly pick: string };

export interface Resolved {
  readonly entityId: string;
  /** The master that wrote the decision; it reaches the others as any write. */
  readonly node: string;
  readonly data: Readonly<Record<string, unknown>> | null;
}

export interface ClockComparisonReport extends ClockComparison {
  readonly namespace: string;
  readonly silent: readonly string[];
}

export class ReplicationAdmin {
  readonly namespace: string;
  readonly #bus: Bus;
  readonly #expected: readonly string[];
  readonly #timeoutMs: number;
  readonly #env: Env;

  /** Throws OPTIONS_INVALID. */
  constructor(options: ReplicationAdminOptions, env: Env = systemEnv()) {
    this.namespace = checkNamespace(options.namespace, 'ReplicationAdmin');
    this.#bus = options.bus;
    this.#expected = options.expected ?? [];
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    this.#env = env;
  }

  /** All nodes, who leads, how far each is behind, and what needs a look. Throws REPLICATION_NOBODY. */
  async status(options: CallOptions = {}): Promise<ReplicationStatus> {
    return this.#status(options);
  }

  /** How far each replica is behind. Throws REPLICATION_NOBODY. */
  async lag(options: CallOptions = {}): Promise<readonly LagRow[]> {
    return (await this.status(options)).lag;
  }

  /** Of all masters, or of one entity. Throws REPLICATION_NOBODY; REPLICATION_NO_MASTER where nobody has conflicts. */
  async conflicts(
    options: CallOptions & { readonly entityId?: string | undefined; readonly limit?: number } = {},
  ): Promise<ConflictReport> {
    const { entityId, limit } = options;
    const asked = { ...(entityId === undefined ? {} : { entityId }), ...(limit === undefined ? {} : { limit }) };
    const { results, silent } = await this.#ofMasters<ConflictsResult>('conflicts', asked, options);
    const more = results
      .filter(({ result }) => result.total > result.conflicts.length)
      .map(({ node, result }) => [node, result.total - result.conflicts.length] as const);
    const conflicts = mergeConflicts(results.map(({ node, result }) => ({ node, conflicts: result.conflicts })));
    return { namespace: this.namespace, conflicts, more: Object.fromEntries(more), silent };
  }

  /**
   * Decides a conflict for all masters. It is one master's write and replaces all versions that that one knows of: by default the one that knows
   * most of them. Throws CONFLICT_UNKNOWN, CONFLICT_VERSION_UNKNOWN and what the master throws; after DEADLINE_EXCEEDED it may have been written.
   */
  async resolve(
    entityId: string,
    decision: Decision,
    options: CallOptions & { readonly node?: string | undefined } = {},
  ): Promise<Resolved> {
    const node = options.node ?? (await this.#decider(entityId, decision, options));
    const { data } = await this.#ask<Pick<Resolved, 'data'>>(node, 'resolve', { entityId, ...decision }, options);
    return { entityId, node, data };
  }

  /** Where conflicts pile up. `limit` entities, default 10. Throws as `conflicts`. */
  async hot(options: CallOptions & { readonly limit?: number } = {}): Promise<HotReport> {
    const { limit = 10 } = options;
    type Hot = { readonly status: MasterStatus; readonly hot: readonly HotSpot[] };
    const { results, silent } = await this.#ofMasters<Hot>('hot', { limit }, options);
    const merged = mergeHot(
      results.map(({ node, result }) => ({ node, ...result })),
      limit,
    );
    return { namespace: this.namespace, ...merged, silent };
  }

  /** How far the clocks of all nodes are apart, by the round trip to each. Throws REPLICATION_NOBODY. */
  async clockReport(options: CallOptions = {}): Promise<ClockComparisonReport> {
    const { answers, silent } = await this.#gather('clock', {}, options);
    const names = [...new Set(answers.map(({ node }) => node))];
    const nodes: Parameters<typeof compareClocks>[0][number][] = [];
    const deaf: string[] = [];
    for (let i = 0; i < names.length; i += CLOCKS_AT_ONCE)
      await Promise.all(
        names.slice(i, i + CLOCKS_AT_ONCE).map(async (node) => {
          const clock = await this.#clockOf(node, options);
          if (clock === undefined) deaf.push(node);
          else nodes.push({ node, ...clock });
        }),
      );
    nodes.sort((a, b) => (a.node < b.node ? -1 : 1));
    const compared = compareClocks(nodes);
    const missing = [...silent, ...deaf].sort();
    const findings = missing.map((node) => {
      return { code: 'silent' as const, node, message: 'others know of it, and it does not answer' };
    });
    return { namespace: this.namespace, ...compared, findings: [...compared.findings, ...findings], silent: missing };
  }

  /**
   * Has a node bring its state up to date, and tells how far it is until it is done. The node goes on with it when the asker goes away
   * (`signal`), and whoever asks again joins. Resolves with the last report; throws RECOVERY_FAILED, RECOVERY_REFUSED,
   * REPLICATION_NODE_SILENT, REPLICATION_ADMIN_UNSUPPORTED.
   */
  async recover(node: string, options: RecoverOptions = {}): Promise<RecoveryReport> {
    const ask = (op: 'recover' | 'recovery', fields: object): Promise<RecoveryReport> =>
      this.#ask(node, op, fields, options);
    return watchRecovery(node, ask, options, this.#env.clock);
  }

  /** Has the leader count a follower among its own before it reports by itself. Throws REPLICATION_NO_LEADER. Masters join by themselves. */
  async addMember(node: string, options: CallOptions = {}): Promise<void> {
    await this.#ask(await this.#keeper(options), 'add', { member: node }, options);
  }

  /**
   * A follower: its leader forgets it. A master: the others are told that it is gone for good, and it must begin anew should it come back. Throws
   * REPLICATION_NO_LEADER.
   */
  async removeMember(node: string, options: CallOptions = {}): Promise<void> {
    await this.#ask(await this.#keeper(options, node), 'remove', { member: node }, options);
  }

  async #status(options: CallOptions, unawaited?: string): Promise<ReplicationStatus> {
    const { answers, silent } = await this.#gather('status', {}, options, unawaited);
    const nodes = answers.flatMap((answer): NodeReport[] =>
      answer.ok ? [{ node: answer.node, instance: answer.instance, ...(answer.result as StatusResult) }] : [],
    );
    const failures = answers.flatMap((answer): NodeFailure[] => {
      if (answer.ok) return [];
      const { code, message } = answer.error;
      return [{ node: answer.node, code, message }];
    });
    return statusReport({ namespace: this.namespace, nodes, failures, silent });
  }

  /** Who keeps the list of members: the leader, or any master but the one that it is about. */
  async #keeper(options: CallOptions, removed?: string): Promise<string> {
    const { nodes, splitBrain } = await this.#status(options, removed);
    const masters = nodes.filter(({ node, status }) => status.kind === 'master' && node !== removed);
    const keeper = splitBrain.winner ?? masters[0]?.node;
    if (keeper === undefined) throw replicationErrors.create('REPLICATION_NO_LEADER', { namespace: this.namespace });
    return keeper;
  }

  async #decider(entityId: string, decision: Decision, options: CallOptions): Promise<string> {
    const question = { entityId };
    const { results } = await this.#ofMasters<ConflictsResult>('conflicts', question, options);
    const known = results.flatMap(({ node, result }) => result.conflicts.map((conflict) => ({ node, conflict })));
    const { namespace } = this;
    if (known.length === 0)
      throw replicationErrors.create('CONFLICT_UNKNOWN', { entityId, node: `nobody in ${namespace}` });
    const pick = 'pick' in decision ? decision.pick : undefined;
    const fits = known.filter(
      ({ conflict }) => pick === undefined || conflict.versions.some(({ masterId }) => masterId === pick),
    );
    const best = fits.sort(
      (a, b) =>
        Number(b.conflict.pending) - Number(a.conflict.pending) ||
        b.conflict.versions.length - a.conflict.versions.length,
    )[0];
    if (best !== undefined) return best.node;
    const all = new Set(known.flatMap(({ conflict }) => conflict.versions.map(({ masterId }) => masterId)));
    throw replicationErrors.create('CONFLICT_VERSION_UNKNOWN', { entityId, pick, known: [...all].join(', ') });
  }

  /** Undefined when it does not answer any more. */
  async #clockOf(
    node: string,
    options: CallOptions,
  ): Promise<{ samples: ClockSample[]; clock: ReplicaClock | undefined } | undefined> {
    const { clock } = this.#env;
    const samples: ClockSample[] = [];
    let last: ReplicaClock | undefined;
    type Times = { readonly heardAt: number; readonly answeredAt: number; readonly clock?: ReplicaClock };
    for (let i = 0; i < SAMPLES; i++) {
      const [asked, from] = [clock.wall(), clock.monotonic()];
      try {
        const { heardAt: heard, answeredAt: answered, ...rest } = await this.#ask<Times>(node, 'clock', {}, options);
        samples.push({ asked, heard, answered, received: asked + clock.monotonic() - from });
        last = rest.clock;
      } catch (error) {
        if (!hasCode(error, 'REPLICATION_NODE_SILENT', 'REPLICATION_ADMIN_BUSY')) throw error;
        break;
      }
    }
    return samples.length === 0 ? undefined : { samples, clock: last };
  }

  async #ofMasters<T>(
    op: AdminOp,
    fields: object,
    options: CallOptions,
  ): Promise<{ results: { node: string; result: T }[]; silent: readonly string[] }> {
    const { answers, silent } = await this.#gather(op, fields, options);
    const results = answers.flatMap((answer) => (answer.ok ? [{ node: answer.node, result: answer.result as T }] : []));
    const failures = answers.flatMap((answer) => (answer.ok ? [] : [answer.error]));
    // Followers have no conflicts: that is no failure. Anything else must not look like "there are none".
    const failure = failures.find(({ code }) => code !== 'REPLICATION_ADMIN_UNSUPPORTED');
    if (failure !== undefined) throw failure;
    if (results.length > 0) return { results, silent };
    throw replicationErrors.create('REPLICATION_NO_MASTER', { namespace: this.namespace });
  }

  async #gather(op: AdminOp, fields: object, { signal }: CallOptions, unawaited?: string): Promise<Gathered> {
    const question = this.#question(op, fields);
    const { namespace } = this;
    const [bus, expected, timeoutMs] = [this.#bus, this.#expected, this.#timeoutMs];
    const asking = { bus, namespace, question, expected, unawaited, timeoutMs, signal };
    const gathered = await gather(asking, this.#env);
    if (gathered.answers.length > 0) return gathered;
    throw replicationErrors.create('REPLICATION_NOBODY', { namespace, timeoutMs });
  }

  async #ask<T>(node: string, op: AdminOp, fields: object, { signal }: CallOptions): Promise<T> {
    const question = this.#question(op, fields);
    const { namespace } = this;
    const data = encodeMessage(question);
    if (data.length > MESSAGE_BYTES_MAX)
      throw replicationErrors.create('REPLICATION_ADMIN_TOO_LARGE', {
        what: 'the question',
        bytes: data.length,
        limit: MESSAGE_BYTES_MAX,
      });
    let answer: Answer | undefined;
    try {
      const bounds = { timeoutMs: this.#timeoutMs, signal };
      const message = await this.#bus.request(nodeSubject(namespace, node), data, bounds);
      answer = decodeAnswer(message.data, question.id);
    } catch (error) {
      const isSilent = hasCode(error, 'BUS_NO_RESPONDERS') || (hasCode(error, 'DEADLINE_EXCEEDED') && op !== 'resolve');
      throw isSilent ? replicationErrors.create('REPLICATION_NODE_SILENT', { node, namespace }, error) : error;
    }
    if (answer === undefined) throw replicationErrors.create('REPLICATION_NODE_SILENT', { node, namespace });
    if (!answer.ok) throw answer.error;
    return answer.result as T;
  }

  #question(op: AdminOp, fields: object) {
    return { ...fields, v: ADMIN_VERSION, id: this.#env.random.uuid(), op };
  }
}
