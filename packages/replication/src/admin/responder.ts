/**
 * Has a running manager answer questions over the bus. Invariant: every question that can be read is answered once, with its result or
 * a coded error, whatever it asks for.
 */
import { type Env, optionsInvalid, systemEnv, TaskGroup, withDeadline } from '@canopy/core';
import type { Bus, BusMessage } from '@canopy/nats';
import { replicationErrors } from '../errors.ts';
import type { EventSubscriber } from '../event-subscriber/event-subscriber.ts';
import type { LeaderFollowerManager } from '../leader-follower/manager.ts';
import { checkNamespace } from '../log/subjects.ts';
import { FollowingReplica } from './adapters/following.ts';
import { type ManagedMaster, MasterReplica } from './adapters/master.ts';
import { SubscriberReplica } from './adapters/subscriber.ts';
import type { ManagedReplica } from './managed-replica.ts';
import {
  ADMIN_VERSION,
  type Answer,
  decodeQuestion,
  encodeMessage,
  errorOf,
  MESSAGE_BYTES_MAX,
  type Question,
} from './messages.ts';
import { Operations } from './operations.ts';
import { RecoveryRun } from './recovery-run.ts';
import { answersSubject, everybodySubject, nodeSubject } from './subjects.ts';

const AT_ONCE = 16;
const ANSWER_MS = 30_000;
const CHANGES: ReadonlySet<string> = new Set(['resolve', 'recover', 'add', 'remove']);

export type ManagerToServe = LeaderFollowerManager | ManagedMaster | EventSubscriber | ManagedReplica;

export interface ServeReplicationOptions {
  /** Of a session: `session.bus`. It is not closed. */
  readonly bus: Bus;
  /** 1 to 128 letters, digits, "-" or "_". */
  readonly namespace: string;
  /** It goes on belonging to the caller. */
  readonly manager: ManagerToServe;
  /** A subscriber's name; a manager has one of its own. */
  readonly node?: string;
  /** Answers what looks, refuses what changes. Default false. */
  readonly readOnly?: boolean;
  /**
   * How this node's state is thrown away and made anew; default: the manager's own `rebuild()`, and where that can't, `recover` only reads again what was
   * missed. One of yours closes the manager, empties its store, makes another one, and tells it by `adopt` as soon as it exists, so that its
   * progress can be seen; it resolves when that has caught up. Reads are then yours to keep away meanwhile.
   */
  readonly rebuild?: (adopt: (manager: ManagerToServe) => void) => Promise<void>;
}

/** Resolves when questions are heard. Throws OPTIONS_INVALID, and what the bus throws. */
export async function serveReplication(
  options: ServeReplicationOptions,
  env: Env = systemEnv(),
): Promise<ReplicationResponder> {
  const namespace = checkNamespace(options.namespace, 'serveReplication');
  const replica = replicaOf(options.manager, options.node);
  const responder = new ReplicationResponder({ ...options, namespace }, replica, env);
  await responder.listen();
  return responder;
}

/** What `serveReplication` gives: answers until `stop()`. */
export class ReplicationResponder implements AsyncDisposable {
  readonly #options: ServeReplicationOptions;
  readonly #env: Env;
  readonly #instance: string;
  readonly #tasks: TaskGroup;
  readonly #recovery: RecoveryRun;
  readonly #operations: Operations;
  #replica: ManagedReplica;
  #busy = 0;

  /** @internal */
  constructor(options: ServeReplicationOptions, replica: ManagedReplica, env: Env) {
    const log = env.log.with({ node: replica.node, namespace: options.namespace });
    this.#options = options;
    this.#replica = replica;
    this.#env = env;
    this.#instance = env.random.uuid();
    this.#tasks = new TaskGroup((error, task) => log.error('replication_admin_ended', { task, error: error.message }));
    const { rebuild } = options;
    const adopt = (manager: ManagerToServe): void => {
      this.#replica = replicaOf(manager, options.node);
    };
    const current = (): ManagedReplica => this.#replica;
    this.#recovery = new RecoveryRun(current, rebuild && (() => rebuild(adopt)), env.clock, log);
    this.#operations = new Operations(current, this.#recovery, env.clock);
  }

  /** @internal */
  async listen(): Promise<void> {
    const { bus, namespace } = this.#options;
    const { signal } = this.#tasks;
    const mine = bus.subscribe(nodeSubject(namespace, this.#replica.node), { signal });
    const all = bus.subscribe(everybodySubject(namespace), { signal });
    this.#tasks.run('questions', async () => {
      for await (const message of mine) this.#hear(message, (_, data) => message.respond(data));
    });
    this.#tasks.run('questions to all', async () => {
      for await (const message of all)
        this.#hear(message, ({ id }, data) => bus.publish(answersSubject(namespace, id), data));
    });
    await bus.flush();
  }

  /** Idempotent; what is being answered is answered. A rebuilding of the program's goes on. */
  async stop(): Promise<void> {
    await this.#tasks.stop();
    await this.#recovery.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #hear(message: BusMessage, answer: (question: Question, data: Uint8Array) => void): void {
    const heardAt = this.#env.clock.wall();
    const question = decodeQuestion(message.data);
    if (question === undefined || this.#tasks.signal.aborted) return;
    this.#tasks.run('answer', async () => {
      const { node } = this.#replica;
      try {
        answer(question, this.#encode(question, await this.#answer(question, heardAt)));
      } catch (error) {
        this.#env.log.warn('replication_answer_failed', { node, op: question.op, error: errorOf(error).message });
      }
    });
  }

  async #answer(question: Question, heardAt: number): Promise<Answer> {
    this.#busy += 1;
    try {
      this.#check(question);
      const work = this.#operations.run(question, heardAt);
      const result = await withDeadline(this.#env.clock, `replication ${question.op}`, ANSWER_MS, work);
      return { ...this.#head(question), ok: true, result };
    } catch (error) {
      return { ...this.#head(question), ok: false, error: errorOf(error) };
    } finally {
      this.#busy -= 1;
    }
  }

  #check({ v, op }: Question): void {
    const { node } = this.#replica;
    if (v !== ADMIN_VERSION)
      throw replicationErrors.create('REPLICATION_ADMIN_VERSION', { node, asked: v, spoken: ADMIN_VERSION });
    if (this.#options.readOnly === true && CHANGES.has(op))
      throw replicationErrors.create('REPLICATION_ADMIN_READ_ONLY', { node, op });
    if (this.#busy > AT_ONCE) throw replicationErrors.create('REPLICATION_ADMIN_BUSY', { node, limit: AT_ONCE });
  }

  #encode(question: Question, answer: Answer): Uint8Array {
    const data = encodeMessage(answer);
    if (data.length <= MESSAGE_BYTES_MAX) return data;
    const { node } = this.#replica;
    const fields = { what: `the answer of ${node}`, bytes: data.length, limit: MESSAGE_BYTES_MAX };
    const error = replicationErrors.create('REPLICATION_ADMIN_TOO_LARGE', fields);
    return encodeMessage({ ...this.#head(question), knows: [], ok: false, error });
  }

  #head({ id }: Question) {
    const { node, kind } = this.#replica;
    return { v: ADMIN_VERSION, id, node, instance: this.#instance, kind, knows: this.#replica.knows() };
  }
}

/** By what it can do: a manager may come from another copy of this package. */
function replicaOf(manager: ManagerToServe, node: string | undefined): ManagedReplica {
  const invalid = (field: string, problem: string): Error => optionsInvalid('serveReplication', [{ field, problem }]);
  const check = (own: string): string => {
    if (node === undefined || node === own) return own;
    throw invalid('node', `must be left out, or ${JSON.stringify(own)}: that is the manager's own name`);
  };
  if (typeof manager !== 'object' || manager === null) throw invalid('manager', 'is required');
  if ('knows' in manager) return manager;
  if ('getMasterId' in manager) return new MasterReplica(check(manager.getMasterId()), manager);
  if ('getNodeId' in manager) return new FollowingReplica(check(manager.getNodeId()), manager);
  if (!('poll' in manager)) throw invalid('manager', 'is none of this package, and no ManagedReplica');
  if (node === undefined || node === '') throw invalid('node', 'is required: a subscriber has no name of its own');
  return new SubscriberReplica(node, manager);
}
