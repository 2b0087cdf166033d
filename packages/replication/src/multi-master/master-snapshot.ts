/**
 * A master's state as lines, so that others need not read all history. It is taken page by page while writes go on: the first line says
 * where the log is to be read from, and records may know more than that, which joining them again does not change. What the first line
 * says, what waited then, and that it was all stored, are of one moment. It is there once all of it is in the log: what a lost disk had not
 * sent must not live on in a snapshot.
 */
import type { Clock } from '@canopy/core';
import { replicationErrors } from '../errors.ts';
import type { SnapshotInfo, SnapshotStore } from '../ports/snapshot-store.ts';
import type { CausalOrderState } from './causal-order.ts';
import { covers, type EntityRecord, joinRecords } from './entity-record.ts';
import type { ClockRecord, MasterEvent } from './event.ts';
import type { MasterCore } from './master-core.ts';
import { Members, type MembersState } from './members.ts';
import { keepsRivals, type Policy } from './policy.ts';
import { inSlices } from './slices.ts';
import { SnapshotCheck } from './snapshot-check.ts';

/** Do not change: it is stored. */
interface Header {
  readonly v: 1;
  readonly position: number;
  readonly logCreatedAt: number;
  readonly order: CausalOrderState;
  readonly members: MembersState;
  readonly collected: ClockRecord;
}

const COMMIT_EVERY = 1000;

export async function takeSnapshot(
  core: MasterCore,
  store: SnapshotStore,
  namespace: string,
  { clock, inLog, signal }: { clock: Clock; inLog: () => Promise<void>; signal?: AbortSignal },
): Promise<SnapshotInfo> {
  core.flush();
  const { position: sequence, logCreatedAt } = core;
  const first = beginning(core);
  const entities = inSlices(core.state.pages<EntityRecord>('entities'), clock, signal);
  return store.put({ namespace, sequence, epoch: 0, logCreatedAt }, lines(first, entities, inLog), { signal });
}

/** The header, and what waits. */
function beginning(core: MasterCore): string[] {
  const { position, logCreatedAt, collected } = core;
  const header: Header = {
    v: 1,
    position,
    logCreatedAt,
    order: core.order.toJSON(),
    members: core.members.toJSON(),
    collected,
  };
  const waiting = [...core.state.pages<MasterEvent>('waiting')].flat();
  return [JSON.stringify(header), ...waiting.map((entry) => JSON.stringify(['waiting', ...entry]))];
}

async function* lines(
  first: readonly string[],
  entities: AsyncIterable<readonly (readonly [id: string, record: EntityRecord])[]>,
  inLog: () => Promise<void>,
): AsyncGenerator<string> {
  yield* first;
  for await (const page of entities) for (const entry of page) yield JSON.stringify(['entity', ...entry]);
  await inLog();
}

/**
 * Joins the newest snapshot that reaches `first` with what is here; false when there is none. Commits as it goes. What waited for it is still
 * to be drained.
 */
export async function loadSnapshot(
  core: MasterCore,
  store: SnapshotStore,
  namespace: string,
  { first, policy, signal }: { first: number; policy: Policy; signal?: AbortSignal },
): Promise<boolean> {
  const info = await store.latest(namespace);
  if (info === undefined || info.logCreatedAt !== core.logCreatedAt) return false;
  if (info.sequence + 1 < first || info.sequence <= core.position) return false;
  let header: Header | undefined;
  let check: SnapshotCheck | undefined;
  const ids = new Set<string>();
  let collected = 0;
  for await (const batch of store.read(info, { signal })) {
    for (const line of batch) {
      if (header === undefined) {
        header = readHeader(line, info);
        check = new SnapshotCheck(core, header);
      } else readEntry(core, line, policy, ids, check);
      collected += 1;
    }
    if (collected >= COMMIT_EVERY) {
      // The position stays behind until all is here: a crash begins anew, and joins the same again.
      core.flush();
      collected = 0;
    }
  }
  if (header === undefined) return false;
  core.flush();
  const contradiction = check?.contradiction;
  if (contradiction !== undefined) {
    core.own.contradicted(contradiction);
    return true;
  }
  // What the snapshot has seen and does not have was deleted, and all have forgotten it.
  for (const page of core.state.pages<EntityRecord>('entities'))
    for (const [id, record] of page) if (!ids.has(id) && covers(header.order.seen, record)) core.forget(id);
  for (const [master, number] of Object.entries(header.order.seen)) core.order.raise(master, number);
  core.members = new Members(header.members);
  core.collected = header.collected;
  core.position = Math.max(core.position, header.position);
  core.passed(header.order.seen);
  core.flush();
  return true;
}

function readHeader(line: string, { namespace, sequence }: SnapshotInfo): Header {
  const header = JSON.parse(line) as Partial<Header>;
  if (header.v === 1 && typeof header.position === 'number' && header.order !== undefined) return header as Header;
  throw replicationErrors.create('SNAPSHOT_DAMAGED', {
    namespace,
    sequence,
    problem: 'its first line is not a header',
  });
}

function readEntry(
  core: MasterCore,
  line: string,
  policy: Policy,
  ids: Set<string>,
  check: SnapshotCheck | undefined,
): void {
  const [kind, key, value] = JSON.parse(line) as [string, string, unknown];
  if (kind === 'waiting') {
    core.restoreWaiting(key, value as MasterEvent);
    return;
  }
  ids.add(key);
  const theirs = value as EntityRecord;
  check?.record(key, theirs);
  const mine = core.state.get<EntityRecord>('entities', key);
  const keep = keepsRivals(policy, [...theirs.versions, ...(mine?.versions ?? [])]);
  core.store(key, mine === undefined ? theirs : joinRecords(mine, theirs, keep));
}
