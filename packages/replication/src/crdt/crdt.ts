/**
 * What our own mergeable types have in common. `merge` takes over another state or a delta in place; `mergedWith` leaves
 * both alone. Whatever changes a value returns the change as a delta: a value of the same type that holds only what is
 * new, and that other replicas merge instead of the whole state.
 */
import { replicationErrors } from '../errors.ts';
import { checkKind, MERGEABLE, type Mergeable } from './mergeable.ts';

export abstract class Crdt<Self extends Mergeable> implements Mergeable {
  abstract readonly [MERGEABLE]: string;

  /** Takes over all that `other` has, in place. Throws CRDT_KIND_MISMATCH for a value of another type. */
  merge(other: Self): void {
    checkKind(this, other);
    this.join(other);
  }

  mergedWith(other: Mergeable): Self {
    checkKind(this, other);
    const merged = this.copy() as Self & Crdt<Self>;
    merged.join(other as Self);
    return merged;
  }

  /** An independent one, for the same node. */
  abstract copy(): Self;

  abstract toJSON(): unknown;

  protected abstract join(other: Self): void;
}

const NODE_ID_MAX = 256;

/** The node that a value may change under, checked. Throws CRDT_INPUT_INVALID. */
export function checkOwner(kind: string, nodeId: string | undefined): string | undefined {
  if (nodeId === undefined || (typeof nodeId === 'string' && nodeId !== '' && nodeId.length <= NODE_ID_MAX))
    return nodeId;
  throw inputInvalid(kind, 'its node id is no text of 1 to 256 characters');
}

/** Throws CRDT_NODE_UNKNOWN when a value is to be changed that belongs to no node. */
export function requireOwner(kind: string, nodeId: string | undefined): string {
  if (nodeId === undefined) throw replicationErrors.create('CRDT_NODE_UNKNOWN', { kind });
  return nodeId;
}

export function inputInvalid(kind: string, problem: string) {
  return replicationErrors.create('CRDT_INPUT_INVALID', { kind, problem });
}
