bool first();   // compiled with OpenMP
bool second();  // compiled without

int main() { return first() && second() ? 0 : 1; }
