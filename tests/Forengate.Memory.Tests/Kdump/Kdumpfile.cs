using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Forengate.Memory.Tests.Kdump;

/// <summary>libkdumpfile, another implementation of this format (kdumpfile.h): what it reads in a file. Plain files only: 0.5.1 does not know the flattened form.</summary>
internal sealed unsafe partial class Kdumpfile : IDisposable
{
    private const string Library = "libkdumpfile.so.10";
    private const int Ok = 0, NoData = 3;
    private const int Number = 2, String = 4;
    private const int MachinePhysical = 1;

    private readonly SafeFileHandle _file;
    private readonly nint _context;

    /// <param name="path">Its file.</param>
    /// <param name="machine">Libkdumpfile takes the machine from Linux' dumps only; told which it is, it reads the notes of CPUs.</param>
    public Kdumpfile(string path, string machine = "x86_64")
    {
        if (!NativeLibrary.TryLoad(Library, out _))
            Assert.Skip("libkdumpfile10 is not installed: eng/setup formats");
        _file = File.OpenHandle(path);
        _context = New();
        var name = Marshal.StringToCoTaskMemUTF8(machine);
        var value = new Attribute { Type = String, Value = (ulong)name };
        Check(Set(_context, "arch.name", &value));
        Marshal.FreeCoTaskMem(name);
        var descriptor = (int)_file.DangerousGetHandle();
        Check(Open(_context, 1, &descriptor));
    }

    /// <summary>A number it made of the file: "max_pfn", "cpu.0.reg.rip".</summary>
    public ulong this[string name]
    {
        get
        {
            var attribute = default(Attribute);
            Check(Get(_context, name, &attribute));
            Assert.InRange(attribute.Type, Number, Number + 1);
            return attribute.Value;
        }
    }

    public string Text(string name)
    {
        var attribute = default(Attribute);
        Check(Get(_context, name, &attribute));
        Assert.Equal(String, attribute.Type);
        return Marshal.PtrToStringUTF8((nint)attribute.Value)!;
    }

    /// <summary>Reads a whole page; false where the dump has none.</summary>
    public bool TryReadPage(ulong frame, Span<byte> page)
    {
        Assert.Equal(Page.Size, page.Length);
        var length = (nuint)page.Length;
        fixed (byte* to = page)
        {
            var status = Read(_context, MachinePhysical, frame << Page.Shift, to, &length);
            if (status == NoData)
                return false;
            Check(status);
        }
        return true;
    }

    public void Dispose()
    {
        Free(_context);
        _file.Dispose();
    }

    private void Check(int status)
    {
        if (status != Ok)
            Assert.Fail($"libkdumpfile: {Marshal.PtrToStringUTF8(Error(_context))} ({status})");
    }

    [StructLayout(LayoutKind.Sequential)]
    private struct Attribute
    {
        public int Type;
        public ulong Value;
    }

    [LibraryImport(Library, EntryPoint = "kdump_new")]
    private static partial nint New();

    [LibraryImport(Library, EntryPoint = "kdump_free")]
    private static partial void Free(nint context);

    [LibraryImport(Library, EntryPoint = "kdump_get_err")]
    private static partial nint Error(nint context);

    [LibraryImport(Library, EntryPoint = "kdump_open_fdset")]
    private static partial int Open(nint context, uint count, int* files);

    [LibraryImport(Library, EntryPoint = "kdump_set_attr", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Set(nint context, string key, Attribute* value);

    [LibraryImport(Library, EntryPoint = "kdump_get_attr", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Get(nint context, string key, Attribute* value);

    [LibraryImport(Library, EntryPoint = "kdump_read")]
    private static partial int Read(nint context, int space, ulong address, byte* buffer, nuint* length);
}
