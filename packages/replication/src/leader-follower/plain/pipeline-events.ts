/** The events on a plain pipeline. What comes from there may be anything: what is none of these is passed over. */
import { isPlainObject } from '../../values/canonical.ts';
import type { WriteOperation } from '../write-request.ts';

export const WRITE_EVENT = 'replication.write';
export const LEADER_CHANGED_EVENT = 'replication.leader_changed';

export interface PipelineWrite {
  readonly type: typeof WRITE_EVENT;
  readonly namespace: string;
  readonly key: string;
  readonly value: unknown;
  readonly operation: WriteOperation;
  readonly sequence: number;
  readonly sourceNode: string;
  /** Unix ms of the leader. */
  readonly timestamp: number;
  /** Absent: of a leader that knows none. */
  readonly epoch?: number;
}

export interface PipelineLeaderChange {
  readonly type: typeof LEADER_CHANGED_EVENT;
  readonly namespace: string;
  readonly newLeaderId: string;
  readonly previousLeaderId: string | undefined;
  readonly epoch?: number;
}

/** The event if it is one of ours and of this namespace. */
export function parsePipelineEvent(
  event: unknown,
  namespace: string,
): PipelineWrite | PipelineLeaderChange | undefined {
  if (!isPlainObject(event) || event.namespace !== namespace) return undefined;
  const { type, key, sequence, operation, newLeaderId } = event as Partial<PipelineWrite & PipelineLeaderChange>;
  const isWrite = (type as string) === WRITE_EVENT;
  if (isWrite && typeof key === 'string' && Number.isSafeInteger(sequence) && isOperation(operation))
    return event as unknown as PipelineWrite;
  if ((type as string) === LEADER_CHANGED_EVENT && typeof newLeaderId === 'string')
    return event as unknown as PipelineLeaderChange;
  return undefined;
}

export function isOperation(operation: unknown): operation is WriteOperation {
  return operation === 'create' || operation === 'update' || operation === 'delete';
}
