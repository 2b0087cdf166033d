/**
 * Lets others ask this process to give its lease up. Invariant: a request ends the term that it names, or none: one that
 * was meant for an earlier term is refused.
 */
import { CanopyError, type Env, Lifecycle, messageOf, TaskGroup } from '@canopy/core';
import type { Bus, BusMessage } from '@canopy/nats';
import type { Election } from '../election.ts';
import { electionErrors } from '../errors.ts';
import { controlErrors } from './errors.ts';
import {
  controlSubject,
  decodeQuestion,
  encodeControl,
  type StepDownAnswer,
  type StepDownQuestion,
} from './subjects.ts';

export interface ElectionResponderOptions {
  readonly bus: Bus;
  /** The election's bucket. */
  readonly bucket: string;
}

/**
 * Answers requests to step down, for one election, from `start()` to `stop()`. Whoever may publish on
 * `canopy.election.>` may ask: NATS permissions are the guard.
 */
export class ElectionResponder extends Lifecycle {
  readonly #election: Election;
  readonly #options: ElectionResponderOptions;
  readonly #env: Env;
  readonly #tasks: TaskGroup;

  constructor(election: Election, options: ElectionResponderOptions, env: Env) {
    super(`responder of group ${election.group}`);
    this.#election = election;
    this.#options = options;
    this.#env = env;
    this.#tasks = new TaskGroup((error) => this.fail(error));
  }

  protected async onStart(): Promise<void> {
    const { bus, bucket } = this.#options;
    const { group, instanceId } = this.#election;
    const questions = bus.subscribe(controlSubject(bucket, group, instanceId), { signal: this.#tasks.signal });
    this.#tasks.run('questions', async () => {
      for await (const message of questions) await this.#answer(message);
    });
    await bus.flush();
  }

  protected async onStop(): Promise<void> {
    await this.#tasks.stop();
  }

  async #answer(message: BusMessage): Promise<void> {
    const question = decodeQuestion(message.data);
    if (question === undefined) return;
    message.respond(encodeControl(await this.#stepDown(question)));
  }

  async #stepDown({ epoch: expected, to }: StepDownQuestion): Promise<StepDownAnswer> {
    const { clock, log } = this.#env;
    const { group, instanceId } = this.#election;
    const begun = clock.monotonic();
    try {
      const term = this.#election.leadership;
      if (term === undefined)
        throw electionErrors.create('ELECTION_NOT_LEADER', { group, instanceId, action: 'step down' });
      const { epoch } = term;
      if (expected !== undefined && expected !== epoch)
        throw controlErrors.create('ELECTION_TERM_CHANGED', { group, instanceId, actual: epoch, expected });
      log.info('step_down_requested', { group, epoch, to });
      await (to === undefined ? this.#election.stepDown() : this.#election.handoff(to));
      return { ok: true, epoch, ms: clock.monotonic() - begun };
    } catch (error) {
      return { ok: false, error: CanopyError.is(error) ? error : new CanopyError('UNEXPECTED', messageOf(error)) };
    }
  }
}
