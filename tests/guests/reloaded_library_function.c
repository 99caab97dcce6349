// Built twice, with code of the same size at the same place: see reloaded_library.c.
int reloaded_function(int x) {
#ifdef FIRST
  return 3 * x + 1;
#else
  return 1000 - x;
#endif
}
