/**
 * A program for the kill test: it changes a state over and over, half of the time as a whole, and says each position when its commit has
 * returned. In every state that it makes, each entry has the position as its value.
 */
import { SqliteStore, type StateChange, stateStore } from '../../src/index.ts';
import { entriesAt } from './commit-shape.ts';

const [path] = process.argv.slice(2) as [string];
const store = stateStore(SqliteStore.open({ path, durability: 'process' }));

async function* batches(all: readonly StateChange[]): AsyncGenerator<readonly StateChange[]> {
  for (let i = 0; i < all.length; i += 100) yield all.slice(i, i + 100);
}

for (let sequence = store.position().sequence + 1; ; sequence++) {
  const wanted = entriesAt(sequence);
  const position = { sequence, epoch: 1 };
  if (sequence % 2 === 0) await store.replace(batches(wanted), position);
  else {
    const keys = new Set(wanted.map(({ key }) => key));
    const gone = [...store.getAll().keys()].filter((key) => !keys.has(key));
    store.apply([...gone.map((key) => ({ key, value: undefined })), ...wanted], position);
  }
  process.stdout.write(`at ${sequence}\n`);
}
