// Loops, sections of one thread at a time, tasks and reductions of OpenMP, whose runtime orders its
// threads by words of its own.
#include <stdio.h>

int main(void) {
  static double values[500];
  double sum = 0;
  int entered = 0, tasks = 0;
  for (int round = 0; round < 3; ++round) {
#pragma omp parallel for reduction(+ : sum) schedule(dynamic, 16) num_threads(3)
    for (int i = 0; i < 500; ++i) {
      values[i] += i;
      sum += values[i];
    }
#pragma omp parallel num_threads(3)
    {
#pragma omp critical
      ++entered;
#pragma omp barrier
#pragma omp for
      for (int i = 0; i < 500; ++i) values[i] *= 2;
#pragma omp single
      for (int task = 0; task < 4; ++task) {
#pragma omp task shared(tasks)
        {
#pragma omp atomic
          ++tasks;
        }
      }
    }
  }
  printf("openmp: %g %d %d\n", sum, entered, tasks);
  return 0;
}
