/** Equal states have equal texts, whatever is forgotten already. */
import { expect, it } from 'vitest';
import { entityText } from '../../src/multi-master/state-hash.ts';

it('takes deletes that did not know of each other as a delete, which may be forgotten', () => {
  const gone = { clock: {}, wallMs: 1, counter: 0, type: 'Entity', version: 1, data: null };
  const versions = [
    { ...gone, author: 'a', number: 1 },
    { ...gone, author: 'b', number: 1 },
  ];
  const hashed = { id: 'x', record: { seen: { a: 1, b: 1 }, versions }, shown: undefined };
  expect(entityText(hashed, { strategy: 'manual' })).toBeUndefined();
});
