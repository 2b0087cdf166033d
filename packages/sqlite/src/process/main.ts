/**
 * The program of the database process, started by `database/database-process.ts`: it serves one database, or all those of
 * its parent that share a process. It works only after its parent has sent what to open (by then the guard knows this
 * process), ignores what a terminal sends to its group, and when the parent is gone, or asks for it with SIGTERM, ships
 * what is committed within a bound and ends. Databases come and go by messages; none of them knows of the others.
 */
import { enableCompileCache } from 'node:module';
import type { Clock, ConnectionSpec } from '@canopy/core';
import type { NatsSession } from '@canopy/nats';
import type { Addressed, DatabaseSpec, FromDatabase, ToDatabase } from './protocol.ts';
import type { SharedSessions } from './shared-sessions.ts';

enableCompileCache();

/** Bound on shipping the last commits when the parent is gone: whoever takes over waits for this process. */
const DRAIN_MS = 1000;

/** A database that is open here, or is about to be. */
interface Slot {
  readonly path: string;
  deliver(message: ToDatabase): void;
  end(): Promise<void>;
}

const slots = new Map<number, Slot>();
let sessions: SharedSessions | undefined;
let clock: Clock | undefined;

const sendFrom = (db: number, message: FromDatabase): void => {
  const addressed: Addressed<FromDatabase> = { db, message };
  if (process.connected) process.send?.(addressed, undefined, undefined, () => {});
};

let ending = false;

function endProcess(code: number): void {
  if (ending) return;
  ending = true;
  // Side by side: the bound is the process's, however many there are.
  Promise.allSettled([...slots.values()].map((slot) => slot.end())).then(() => process.exit(code));
}

process.on('SIGINT', () => {});
process.on('SIGHUP', () => {});
process.on('SIGTERM', () => endProcess(0));
process.on('disconnect', () => endProcess(0));
process.on('message', (addressed) => {
  const { db, message } = addressed as Addressed<ToDatabase>;
  if (message.type === 'open') makeSlot(db, message.spec);
  else slots.get(db)?.deliver(message);
});

function makeSlot(db: number, spec: DatabaseSpec): void {
  const early: ToDatabase[] = [];
  const slot: Slot = { path: spec.path, deliver: (message) => void early.push(message), end: async () => {} };
  slots.set(db, slot);
  void open(db, spec, slot, early);
}

/** Everything heavy is loaded here, after the parent has been told that the process exists. */
async function open(db: number, spec: DatabaseSpec, slot: Slot, early: ToDatabase[]): Promise<void> {
  const { systemEnv } = await import('@canopy/core');
  const { DatabaseEngine } = await import('./engine.ts');
  const { EngineServer, forwardLog } = await import('./server.ts');
  const { requireAlone } = await import('./same-file.ts');
  const send = (message: FromDatabase): void => sendFrom(db, message);
  const env = systemEnv({ log: forwardLog(send), ...(spec.options.process === 'shared' && (await sharedClock())) });
  const { node, app, connection } = spec;
  const others = (): string[] => [...slots.values()].filter((one) => one !== slot).map(({ path }) => path);
  const engine = new DatabaseEngine({
    spec,
    env,
    pid: process.pid,
    connect: async (signal) => {
      if (spec.options.process === 'shared') return unlessAborted(leaseSession(connection, `${node}-db`), signal);
      const { connectNats } = await import('@canopy/nats');
      return connectNats(connection, { name: `${node}-db-${app}`, env, signal, waitForServer: true });
    },
    requireAlone: () => requireAlone(spec.path, others(), { pid: process.pid, node }),
    onEvent: (event) => server.event(event),
    onStatus: () => server.statusChanged(),
  });
  const server = new EngineServer(engine, env, send);
  slot.end = () => engine.drain(DRAIN_MS);
  // The parent ends the process when it has no database left: only it knows whether another one is on its way.
  void engine.closed.then(() => slots.delete(db));
  slot.deliver = (message) => server.receive(message);
  for (const message of early.splice(0)) server.receive(message);
}

/** One for all: what one database waits for comes together with what others wait for. */
async function sharedClock(): Promise<{ clock: Clock }> {
  const { systemEnv } = await import('@canopy/core');
  const { coalescingClock } = await import('./coalescing-clock.ts');
  clock ??= coalescingClock(systemEnv().clock);
  return { clock };
}

async function leaseSession(connection: ConnectionSpec, name: string): Promise<NatsSession> {
  const { connectNats } = await import('@canopy/nats');
  const { systemEnv } = await import('@canopy/core');
  const { SharedSessions } = await import('./shared-sessions.ts');
  const { forwardLog } = await import('./server.ts');
  // What the connection has to say goes through whichever database is there: it belongs to none.
  const log = forwardLog((message) => {
    for (const db of slots.keys()) return sendFrom(db, message);
  });
  const env = systemEnv({ log, ...(await sharedClock()) });
  sessions ??= new SharedSessions((to) => connectNats(to, { name, env, waitForServer: true }));
  return sessions.lease(connection);
}

/** Others may wait for the same connection: it goes on being made, and the lease is given back when it comes. */
async function unlessAborted(lease: Promise<NatsSession>, signal: AbortSignal | undefined): Promise<NatsSession> {
  const { abortable } = await import('@canopy/core');
  try {
    return await abortable(lease, signal);
  } catch (error) {
    void lease.then(
      (session) => session.close(),
      () => {},
    );
    throw error;
  }
}
