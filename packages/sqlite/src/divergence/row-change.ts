/** A row that two databases don't share, as the list of changes tells it, and what finds such rows. */
import type { ChangeCell } from './cell.ts';

/** Bytes of a row (for an update: of both states) from which on only their number is told. */
export const ROW_BYTES_MAX = 1024 * 1024;

export type ChangeKind = 'insert' | 'update' | 'delete';
export type ChangeRow = Readonly<Record<string, ChangeCell>>;

/** The fields of a line of the list that are about the row. */
export interface RowChange {
  readonly change: ChangeKind;
  readonly key?: readonly string[] | undefined;
  readonly rowid?: ChangeCell | undefined;
  readonly row?: ChangeRow;
  readonly before?: ChangeRow;
  readonly tooLongBytes?: number;
}

export interface RowComparison {
  /**
   * Deletions, updates, insertions, so that a key is free before it is taken. Where `isListed` says no, only the kind.
   * What fails is thrown after what could be read.
   */
  changes(isListed: () => boolean): Iterable<RowChange>;
  /** Whether there is any change. */
  differs(): boolean;
}
