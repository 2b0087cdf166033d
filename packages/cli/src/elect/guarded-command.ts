/**
 * One run of a command under a lease. Invariant: it runs only after the warden knows it, and `ended` resolves only when
 * nothing of it runs any more: neither its process group nor what left it but carries its mark.
 */
import { endForCertain, findProgram, launchAttached } from '@canopy/backends';
import {
  type Env,
  identifyProcess,
  inheritedEnvironment,
  PROCESS_MARK,
  type ProcessGuard,
  type ProcessId,
  signalGroup,
  type Timer,
} from '@canopy/core';
import { electErrors } from './errors.ts';

export interface CommandExit {
  readonly code: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
}

export interface GuardedCommandSpec {
  readonly argv: readonly string[];
  /** Added to this process's own. */
  readonly variables: Readonly<Record<string, string>>;
  readonly guard: ProcessGuard;
}

export class GuardedCommand {
  readonly id: ProcessId;
  /** How its first process ended; resolves when nothing of it is left. Never rejects. */
  readonly ended: Promise<CommandExit>;
  readonly #env: Env;
  #kill: Timer | undefined;
  #killAt = Number.POSITIVE_INFINITY;
  #hasExited = false;

  private constructor(env: Env, id: ProcessId, ended: (command: GuardedCommand) => Promise<CommandExit>) {
    this.#env = env;
    this.id = id;
    this.ended = ended(this);
  }

  /**
   * Rejects with BACKEND_COMMAND_MISSING, ELECT_SPAWN_FAILED, or the guard's error; then nothing of it runs.
   */
  static async launch(spec: GuardedCommandSpec, env: Env): Promise<GuardedCommand> {
    const { argv, guard } = spec;
    const mark = env.random.uuid();
    const variables: Record<string, string> = { ...inheritedEnvironment(), ...spec.variables, [PROCESS_MARK]: mark };
    const cwd = process.cwd();
    const program = findProgram(argv[0] as string, { app: 'elect', cwd, path: variables.PATH });
    const launched = launchAttached({ argv: [program, ...argv.slice(1)], cwd, env: variables });
    const child = launched.process;
    const exited = new Promise<CommandExit>((resolve) => {
      child.once('exit', (code, signal) => resolve({ code: code ?? undefined, signal: signal ?? undefined }));
    });
    const id = child.pid === undefined ? undefined : identifyProcess(child.pid);
    if (id === undefined) {
      const reason = await new Promise<string>((resolve) => child.once('error', (error) => resolve(error.message)));
      throw electErrors.create('ELECT_SPAWN_FAILED', { command: argv[0], reason });
    }
    child.on('error', () => {});
    const prey = { ...id, mark };
    const command = new GuardedCommand(env, id, async (self) => {
      const exit = await exited;
      self.#hasExited = true;
      self.#kill?.cancel();
      // What it left behind in its group has no right to run without it.
      await endForCertain(prey, env.clock, env.log);
      for (const pipe of child.stdio) pipe?.destroy();
      await guard.unregister(id).catch((error: Error) => env.log.warn('unregister_failed', { error: error.message }));
      return exit;
    });
    try {
      await guard.register({ ...id, kind: 'kill', label: 'command' });
    } catch (error) {
      command.kill();
      await command.ended;
      throw error;
    }
    launched.go();
    return command;
  }

  /** SIGTERM (or another signal) to its group, SIGKILL after `graceMs`; a second call may shorten the grace, never lengthen it. */
  end(graceMs: number, signal: NodeJS.Signals = 'SIGTERM'): void {
    if (this.#hasExited) return;
    const { clock } = this.#env;
    this.signal(signal);
    // A stopped process hears it only when it goes on.
    this.signal('SIGCONT');
    const killAt = clock.monotonic() + graceMs;
    if (killAt >= this.#killAt) return;
    this.#killAt = killAt;
    this.#kill?.cancel();
    this.#kill = clock.timer(graceMs, () => this.kill());
  }

  kill(): void {
    this.signal('SIGKILL');
  }

  signal(signal: NodeJS.Signals): void {
    if (!this.#hasExited) signalGroup(this.id, signal);
  }
}
