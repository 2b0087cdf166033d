/** Programs in other languages as the writers of a replicated database. */
import { test } from 'vitest';
import { missing } from './writers.ts';
import { expectReplicated } from './written.ts';

test.for(['python', 'shell'] as const)(
  '%s writes: all of it arrives, in order, and the WAL keeps its bound',
  async (kind, { skip }) => {
    const reason = missing(kind);
    if (reason !== undefined) skip(reason);
    await expectReplicated(kind);
  },
);
