/** What is said of commits that were not shipped when a primary stopped. The same words on both sides of the process boundary. */
import { formatPosition, type Position } from '@canopy/core';

export function unshippedAfter(position: Position): string {
  return `commits after ${formatPosition(position)} are not in the log; they stay in the file, and go when it is started again`;
}

/** Where the database process did not get to say it. */
export function unknownAfter(position: Position): string {
  return `the database process did not end in time: commits after ${formatPosition(position)} may not be in the log; they stay in the file`;
}
