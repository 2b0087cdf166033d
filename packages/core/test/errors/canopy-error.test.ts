import { describe, expect, it } from 'vitest';
import { assert, CanopyError, defineErrors, hasCode, messageOf } from '../../src/index.ts';

const errors = defineErrors({
  DISK_ODD: { message: 'the disk at {path} is odd: {what}', hint: 'Look at {path}.', retryable: true },
});

describe('CanopyError', () => {
  it('fills the template and the hint, and keeps the facts and the cause', () => {
    const cause = new Error('EODD');
    const error = errors.create('DISK_ODD', { path: '/d' }, cause);
    expect(error.message).toBe('the disk at /d is odd: {what}');
    expect(error).toMatchObject({
      code: 'DISK_ODD',
      hint: 'Look at /d.',
      retryable: true,
      fields: { path: '/d' },
      cause,
    });
    expect(error.name).toBe('CanopyError');
  });
  it('crosses a process as JSON and is recognised on the other side, without a stack', () => {
    const error = errors.create('DISK_ODD', { path: '/d', what: 'x' });
    const text = JSON.stringify(error);
    expect(text).not.toContain('stack');
    const back = CanopyError.fromJSON(JSON.parse(text));
    expect(CanopyError.is(back)).toBe(true);
    expect(hasCode(back, 'OTHER', 'DISK_ODD')).toBe(true);
    expect(back.toJSON()).toEqual(error.toJSON());
  });
  it('is recognised by its marker, so that another copy of this package is too', () => {
    expect(CanopyError.is(Object.assign(new Error('x'), { [Symbol.for('canopy.error')]: true }))).toBe(true);
    expect(CanopyError.is(new Error('x'))).toBe(false);
    expect(hasCode(undefined, 'DISK_ODD')).toBe(false);
  });
  it('names a failed assertion a bug', () => {
    expect(() => assert(1 > 2, 'one above two')).toThrow(
      expect.objectContaining({ code: 'ASSERTION_FAILED', message: 'bug: one above two' }),
    );
    expect(messageOf('text')).toBe('text');
  });
});
