// Built with clang-cl and lld-link for the corpus of the PDB reader: one thing of each kind.
extern "C" int _fltused = 0;
struct Base { int BaseField; virtual int Speak(int x); virtual ~Base(); };
struct Other { long long OtherField; };
struct Derived : Base, Other { char Name[15]; static int Shared; int (*Callback)(int); int Speak(int x) override; enum Inner { None = -1, Large = 0x7fffffff }; Inner Mood; };
struct Virtual : virtual Other { short Tail; };
struct Flags { unsigned Low : 3; unsigned Mid : 7; unsigned long long Wide : 40; signed char Tiny : 2; };
union Mixed { struct { unsigned A, B; }; unsigned long long Whole; struct { unsigned char Bytes[8]; } Named; };
struct Outer { int First; union { int X; float Y; struct { short Lo, Hi; }; }; Mixed M[3][2]; const volatile Flags *F; Outer *Next; wchar_t Wide; bool Truth; double D; };
enum class Big : unsigned long long { Top = 0xFFFFFFFFFFFFFFFFull, Small = 1 };
enum Odd : signed char { Minus = -100, Plus = 100 };
struct Opaque;
struct Uses { Opaque *O; Big B; Odd N; void *V; int (Outer::*Method)(int); int Outer::*Field; };
int Derived::Shared = 7;
int Base::Speak(int x) { return x + BaseField; }
Base::~Base() {}
int Derived::Speak(int x) { return x + Mood; }
void operator delete(void *, unsigned long long) {}
void operator delete(void *) {}
Derived TheDerived; Virtual TheVirtual; Flags TheFlags; Mixed TheMixed; Outer TheOuter; Uses TheUses; Big TheBig; Odd TheOdd;
static int Hidden = 3;
extern "C" void atexit(void (*)()) {}
extern "C" int PlainFunction(int x) { return x + Hidden++ + TheOuter.X; }
extern "C" int EntryPoint() { return PlainFunction((int)TheFlags.Low) + TheMixed.A + (int)TheBig + TheOdd + (TheUses.V != 0) + TheVirtual.Tail; }
