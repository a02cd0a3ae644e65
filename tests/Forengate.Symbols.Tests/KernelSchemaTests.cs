namespace Forengate.Symbols.Tests;

public sealed class KernelSchemaTests
{
    [Fact]
    public void Every_row_is_found_by_the_name_people_know_it_by()
    {
        Assert.Equal(KernelStruct.EPROCESS, KernelSchema.FindStruct("_EPROCESS"));
        Assert.Equal(KernelStruct.EPROCESS, KernelSchema.FindStruct("EPROCESS"));
        Assert.Equal(KernelStruct.LDR_DATA_TABLE_ENTRY, KernelSchema.FindStruct("_LDR_DATA_TABLE_ENTRY"));
        Assert.Equal(KernelStruct.KLDR_DATA_TABLE_ENTRY, KernelSchema.FindStruct("_KLDR_DATA_TABLE_ENTRY"));
        Assert.Equal(KernelField.EPROCESS_Wow64Process, KernelSchema.FindField("_EPROCESS.WoW64Process"));
        Assert.Equal(KernelField.EPROCESS_Pcb_DirectoryTableBase, KernelSchema.FindField("_EPROCESS.Pcb.DirectoryTableBase"));
        Assert.Equal(KernelGlobal.PsLoadedModuleList, KernelSchema.FindGlobal("PsLoadedModuleList"));
        Assert.Equal(KernelGlobal.SmGlobals, KernelSchema.FindGlobal("SmGlobals"));
        for (var i = 0; i < KernelSchema.Fields.Length; i++)
            Assert.Equal((KernelField)i, KernelSchema.FindField(KernelSchema.NameOf((KernelField)i)));
    }

    [Fact]
    public void The_carried_packs_names_are_known_by_their_digest()
    {
        var names = PackNames.Write(
            KernelSchema.Structs.ToArray(), [.. KernelSchema.Fields.ToArray().Select(field => ((int)field.Struct, field.Name))], KernelSchema.Globals.ToArray());
        Assert.Equal($"0x{PackNames.DigestOf(names):X16}", $"0x{KernelSchema.NamesDigest:X16}");
    }

    [Theory]
    [InlineData("")]
    [InlineData(".")]
    [InlineData("_EPROCESS")]
    [InlineData("_EPROCESS.")]
    [InlineData("_EPROCESS.NoSuchField")]
    [InlineData("_NO_SUCH.Field")]
    public void What_the_schema_lacks_is_not_found(string name) => Assert.Null(KernelSchema.FindField(name));

    [Theory]
    [InlineData("")]
    [InlineData("17")]
    [InlineData("NoSuchGlobal")]
    public void A_global_that_the_schema_lacks_is_not_found(string name) => Assert.Null(KernelSchema.FindGlobal(name));
}
