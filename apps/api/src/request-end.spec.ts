import { expect, it } from 'vitest';
import { RequestEnd } from './request-end.js';

function watched() {
  const end = new RequestEnd();
  let over = 0;
  end.onOver(() => {
    over += 1;
  });
  return { end, over: () => over };
}

it('a request is over when its answer has gone', () => {
  const { end, over } = watched();
  end.serve();
  end.served();
  expect(over()).toBe(0);
  end.close();
  expect(over()).toBe(1);
});

it('whose client has gone is over once its route is done', () => {
  const { end, over } = watched();
  end.serve();
  end.close();
  expect(over()).toBe(0);
  end.served();
  expect(over()).toBe(1);
});

it('that never came to its route is over with its client', () => {
  const { end, over } = watched();
  end.close();
  expect(over()).toBe(1);
});

it('is over once, and whoever asks later is told at once', () => {
  const { end, over } = watched();
  end.close();
  end.close();
  end.served();
  let later = 0;
  end.onOver(() => {
    later += 1;
  });
  expect([over(), later]).toEqual([1, 1]);
});
