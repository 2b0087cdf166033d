import { expect, test } from 'vitest';
import { restoreTarget } from '../../src/commands/restore-target.ts';

test.each([
  ['2026-07-21T03:00:00', '2026-07-21T03:00:00Z'],
  ['2026-07-21 03:00', '2026-07-21T03:00:00Z'],
  ['2026-07-21', '2026-07-21T00:00:00Z'],
  ['2026-07-21T03:00:00.250Z', '2026-07-21T03:00:00.250Z'],
  ['2026-07-21T03:00+0200', '2026-07-21T01:00:00Z'],
])('the moment %s is read as %s, whatever the zone here', (time, expected) => {
  const zone = process.env.TZ;
  process.env.TZ = 'Asia/Tokyo';
  try {
    expect(restoreTarget({ time }, 'db restore')).toEqual({ timestamp: Date.parse(expected) });
  } finally {
    if (zone === undefined) delete process.env.TZ;
    else process.env.TZ = zone;
  }
});

test.each(['yesterday', '2026-13-40', '2026-02-31', '2027-02-29T03:00', '2026-04-31T10:00+02:00', '07/21/2026', ''])(
  '"%s" is no moment',
  (time) => {
    expect(() => restoreTarget({ time }, 'db restore')).toThrow('is no time');
  },
);

test('a position keeps its epoch; a number, hex digits and epoch 0 have none', () => {
  const read = (txid: string) => restoreTarget({ txid }, 'db restore');
  expect(read('3.00000000000004d2')).toEqual({ txid: 1234, epoch: 3 });
  expect(read('0.00000000000004d2')).toEqual({ txid: 1234 });
  expect(read('00000000000004d2')).toEqual({ txid: 1234 });
  expect(read('1234')).toEqual({ txid: 1234 });
});
