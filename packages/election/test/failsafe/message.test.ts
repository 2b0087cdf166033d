import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  answerSubject,
  callSubject,
  decodeMessage,
  encodeMessage,
  type FailsafeMessage,
} from '../../src/failsafe/message.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const CALL: FailsafeMessage = { type: 'call', run: 'r', id: 'a', round: 3, epoch: 7, promiseMs: 2000 };
const ANSWER: FailsafeMessage = { type: 'answer', to: 'r', run: 's', id: 'b', round: 3, promised: true };

describe('failsafe messages', () => {
  it.each([CALL, ANSWER])('arrive as they were sent: %j', (message) => {
    expect(decodeMessage(encodeMessage(message))).toEqual(message);
  });

  it.each([
    '',
    'x',
    'null',
    '[]',
    '{"type":"call"}',
    '{"type":"call","run":"","id":"a","round":1,"epoch":1,"promiseMs":1}',
    '{"type":"call","run":"r","id":"a","round":1,"epoch":1,"promiseMs":-1}',
    '{"type":"call","run":"r","id":"a","round":1.5,"epoch":1,"promiseMs":1}',
    '{"type":"answer","to":"r","run":"s","id":"b","round":1,"promised":"yes"}',
    `{"type":"answer","to":"r","run":"s","id":"${'b'.repeat(5000)}","round":1,"promised":true}`,
  ])('that can not be read are none: %s', (text) => {
    expect(decodeMessage(bytes(text))).toBeUndefined();
  });

  it('never throw, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (given) => {
        expect(decodeMessage(given)).toBeUndefined();
      }),
    );
  });

  it('have subjects that no two groups and no two runs share', () => {
    expect(callSubject('elections', 'a.b')).toBe('canopy.failsafe.call.elections.a.b');
    expect(answerSubject('r')).toBe('canopy.failsafe.answer.r');
  });
});
